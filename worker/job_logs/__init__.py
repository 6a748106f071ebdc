"""Job logs: the lines of operations, captured in a worker process and stored by its parent.

Start at `attempt_log.py`. `capture.py` and `streams.py` find the lines, `line_ring.py` hands them to the parent,
`storage.py` stores them. Imports `worker.shared_memory` and `common` alone.
"""
