"""The code that the API, the workers and the controller share.

Start at `domain/job.py`, then `store/jobs/`. Imports nothing of `api` or `worker`.
"""
