"""Queues: which have due jobs, how deep they are, why a job waits.

Start at `queue_state.py`, which the controller reads each tick. Imports nothing of `listing`, `bulk_actions` or `retention`.
"""
