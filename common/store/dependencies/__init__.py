"""Jobs that wait for others: when they may run, what they know of those, and jobs that a running job adds.

Start at `resolve.py`. A job waits with a row in `live` at `claimable_at = infinity` without `due_since`. Nothing is
counted: a job may run when none of its parents has a row in `live`. Imports only `connection` and `schema`.
"""
