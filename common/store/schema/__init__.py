"""The schema: its version, partitions, indexes, planner statistics, table sizes.

Start at `partitions.py`. Imports `common.store.connection` alone.
"""
