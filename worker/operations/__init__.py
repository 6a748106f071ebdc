"""The operations that a worker can run, built in or of other packages.

Start at `registry.py`, which finds the operations of the entry point group `jobproc.operations`;
`power_sums.py` has the built-in ones. Imports `common.domain` alone.
"""

from worker.operations.registry import Context, Numbers, Operation, operation

__all__ = ["Context", "Numbers", "Operation", "operation"]
