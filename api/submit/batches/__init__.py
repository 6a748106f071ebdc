"""Submissions of many jobs: from a request's body to a batch.

Start at `bodies.py`, which has arrays; `ndjson.py` reads bodies of NDJSON in parts, `ndjson_jobs.py` stores them.
Imports nothing from `routes`, `watch` or `views`.
"""
