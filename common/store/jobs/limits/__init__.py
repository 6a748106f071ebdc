"""Claims of queues that have a policy: a pause, or limits.

Start at `policy_claims.py`. Imports `common.store.jobs.claims` and `lines`, and nothing of the other modules there.
"""
