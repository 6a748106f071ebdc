"""Bulk actions: cancel, retry or reprioritise all jobs that match a filter.

Start at `lifecycle.py`: clients preview, start, stop and undo an action. `steps.py`: the controller works through the
jobs. `changes.py`: the statements that change them. `records.py`: the changes that an undo reverts. Imports nothing of
`queues` or `retention`.
"""
