"""Tenants, the API keys of their clients, and the audit log.

Start at `api_keys.py`. Imports `common.store.connection` alone.
"""
