"""Submission by SQL: the function `submit`, for applications whose tables are in the same server. Off by default.

Start at `installation.py`, which creates and drops the function and its role; `function.py` has its text.
Imports `common.settings` and `common.store.schema`.
"""
