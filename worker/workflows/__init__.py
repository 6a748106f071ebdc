"""Workflows in a worker process: who may run once a job has ended.

Start at `waiting_jobs.py`. Imports `common` and `jobproc` alone.
"""
