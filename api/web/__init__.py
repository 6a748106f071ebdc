"""HTTP without jobs: request bodies, responses, problems, request ids, compression, timeouts of clients, a cache.

Start at `problems.py`: every error of the API is one of its kinds. Imports nothing of the other folders of `api`.
"""
