"""Tenants, the API keys of their clients, and what they use of their quotas.

Start at `tenants.py`. Imports `common.store.connection`, `common.domain`, `common.settings` and `common.telemetry`.
"""
