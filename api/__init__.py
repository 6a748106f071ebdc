"""The HTTP API: accepts submissions and serves reads; it runs no jobs.

Start at `app.py`, which assembles the application, then follow `POST /jobs/` through `routes/jobs.py`,
`submit/parsing.py` and `submit/group_commit.py`. Imports nothing of `worker`.
"""
