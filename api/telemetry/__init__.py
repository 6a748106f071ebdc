"""Metrics, access log and traces of the API.

Start at `middleware.py`, which measures every request. `metrics.py` has the counters, `loop_lag.py` measures the event
loop, `tracing.py` has the spans of requests (the spans of submissions are in `api/submit/tracing.py`). Imports
`api.web` alone.
"""
