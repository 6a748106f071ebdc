"""From database rows to response bodies: a job, lists, queues, operations, bulk actions, explanations.

Start at `job_detail.py`. Query parameters and bodies that select what is shown are checked here too (`filters.py`, `cursors.py`).
Imports nothing of `routes`, `submit` or `watch`.
"""
