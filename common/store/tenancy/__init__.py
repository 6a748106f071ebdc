"""Tenants, the API keys of their clients, what they use of their quotas, and the audit log.

Start at `tenants.py`. `removal.py`: the controller deletes all that a tenant has. Imports `common.store.connection`,
`common.domain`, `common.settings` and `common.telemetry`.
"""
