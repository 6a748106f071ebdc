"""The supervisor: a thread of the parent that renews leases, enforces timeouts and recovers jobs of ended processes.

Start at `supervisor.py`. It reads what each process runs from `worker/shared_memory`. Imports nothing of `controller`,
and no user code.
"""
