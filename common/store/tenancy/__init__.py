"""Tenants, and the API keys of their clients.

Start at `tenants.py`. `removal.py`: the controller deletes all that a tenant has. Imports `common.store.connection`
alone.
"""
