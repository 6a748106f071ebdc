"""Submissions of workflows: jobs that name the jobs for which they wait.

Start at `bodies.py`. Imports `batches`, of which it takes ids and follow-ups.
"""
