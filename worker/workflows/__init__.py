"""Workflows in a worker and in the controller: jobs that may run once a job has ended.

Start at `waiting_jobs.py`, which is a worker process's part; `sweep.py` is the controller's. Imports `common` and
`jobproc` alone.
"""
