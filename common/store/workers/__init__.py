"""Worker processes and controllers: leases of workers, the lease of the leader.

Start at `leases.py`. Imports `common.store.connection` alone.
"""
