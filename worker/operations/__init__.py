"""Operations: what a worker can do. One module a kind; others add theirs by the entry point group `jobproc.operations`."""

from worker.operations.registry import Context, Numbers, Operation, operation

__all__ = ["Context", "Numbers", "Operation", "operation"]
