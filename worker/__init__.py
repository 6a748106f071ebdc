"""The worker, which claims, runs and settles jobs, and the controller.

Start at `app.py`, which wires Celery, then `execution/executor.py`, which claims, runs and settles. Imports nothing of
`api`, and no web framework.
"""
