"""Leases of worker processes, and the lease of the leading controller.

Start at `leases.py`. Imports `common.store.connection` alone.
"""
