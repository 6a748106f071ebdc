"""All SQL: one verb, one statement, one function.

Start at `jobs/insert.py`, `jobs/claims.py` and `jobs/reads.py`: a job is inserted, claimed and settled, read. Functions of the API are
async, those of workers and controllers sync; none is both. Imports no HTTP, no Redis and nothing of `api` or `worker`.
"""
