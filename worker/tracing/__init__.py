"""The OpenTelemetry spans of a worker and of the controller.

Start at `spans.py`, which is imported only while tracing is on. Imports `worker.shared_memory` and `common`.
"""
