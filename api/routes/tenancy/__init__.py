"""The routes of tenants, their keys, their use and the audit log.

Start at `keys.py`. Imports no SQL and no driver; only `api/app.py` imports a route.
"""
