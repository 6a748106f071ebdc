"""Tenants, scopes, API keys, quotas, shares and entries of the audit log: pure values.

Start at `tenants.py`. Imports nothing but the standard library and the domain.
"""
