"""The operations that a worker can run, built in or of other packages.

Start at `entry_points.py`, which finds the operations of the entry point group `jobproc.operations`; `power_sums.py`
has the built-in ones. Imports `jobproc`, of which operations are made, and `common.domain` alone.
"""
