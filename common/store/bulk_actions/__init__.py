"""Bulk actions: cancel, retry or reprioritise all jobs that match a filter.

Start at `lifecycle.py` (preview, start, stop, undo, as clients ask), then `steps.py`, in which the controller works through the jobs;
`changes.py` has the statements that change them. Imports nothing of `queues` or `retention`.
"""
