"""Celery, adapted to carry doorbells: its consumer, process pool, task and Redis transport.

Start at `tasks.py`, the only task. Each module has the name of the module of Celery or Kombu that it adapts. Imports
`common.broker` and `common.telemetry` alone; besides `worker/app.py` no other module imports Celery.
"""
