"""Metrics, access log and traces of the API.

Start at `middleware.py`, which measures every request; `metrics.py` holds the counters, `tracing.py` the spans of requests (those of
submissions are in `api/submit/tracing.py`). Imports `api.web` alone.
"""
