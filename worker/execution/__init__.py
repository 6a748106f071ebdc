"""Claim, run and settle jobs in one worker process.

Start at `executor.py`; `async_executor.py` does the same for `async def` operations, many at a time. Both settle
attempts that have ended with `settlement.py`. Imports nothing of `supervision`, `controller` or Celery.
"""
