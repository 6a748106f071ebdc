"""HTTP without jobs: request bodies, responses, problems, request ids, compression, client timeouts, a cache.

Start at `problems.py`, which defines every kind of error response. Imports nothing from the other folders of `api`.
"""
