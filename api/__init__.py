"""The HTTP API: accepts submissions, reads jobs, runs none.

Start at `app.py`, which puts the application together, then follow `POST /jobs/` through `routes/jobs.py`, `submit/parsing.py` and
`submit/group_commit.py`. Imports nothing of `worker`.
"""
