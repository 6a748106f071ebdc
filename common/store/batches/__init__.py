"""Batches: their rows, the exact counts of their jobs, their end and the follow-up.

Start at `sql.py`, which has what the drivers share. `submission.py`, `changes.py` and `reads.py` are the API's,
`ends.py` the controller's. Nothing is counted while jobs run: a batch has ended when it is closed and no job of its
range of ids has a row in `live`. Imports nothing from `queues`.
"""
