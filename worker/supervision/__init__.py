"""The parent's thread: renews leases, enforces time limits, recovers the jobs of crashed processes.

Start at `supervisor.py`. It sees what each process runs in `worker/shared_memory`. Imports nothing of `controller`, and no user code.
"""
