"""Logs, metrics and traces: their declarations, shared by all processes.

Start at `metrics.py`, which declares every metric, and `events.py`, which declares every log event. Imports only
`common.settings` and `common.domain`.
"""
