"""The worker: claims jobs, runs them, settles them; and the controller.

Start at `app.py`, which wires Celery, then `execution/executor.py`, which claims, runs and settles. Imports nothing of `api`, and no web
framework.
"""
