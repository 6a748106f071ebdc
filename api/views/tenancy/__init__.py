"""Bodies and responses about tenants, their keys, their use and the audit log.

Start at `api_keys.py`. Imports nothing from `routes`, `submit` or `watch`.
"""
