"""The statements of one job or a batch of them: insert, claim, settle, fail, cancel, retry, read.

Start at `insert.py`, then `claims.py`. `fragments.py` has the SQL that several statements share. Imports nothing of
`queues`, `listing` or `bulk_actions`.
"""
