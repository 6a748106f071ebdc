"""All SQL. Each operation on the tables is one function, and where possible one statement.

Start at `jobs/insert.py`, `jobs/claims.py` and `jobs/reads.py`: they insert, claim and settle, and read jobs. The API's
functions are async; those of workers and controllers are sync. Imports no HTTP, no Redis, and nothing of `api` or
`worker`.
"""
