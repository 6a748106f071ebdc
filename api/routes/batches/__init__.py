"""The routes of batches.

Start at `resource.py`. `submission.py` has the responses to submissions, and NDJSON, which POST /jobs/batch takes too.
Imports nothing from the other routes.
"""
