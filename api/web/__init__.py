"""HTTP without jobs: bodies, responses, problems, the browser guard, request ids, compression, timeouts, a cache.

Start at `problems.py`, which defines every kind of error response. Imports nothing from the other folders of `api`.
"""
