"""Celery, bent to carry doorbells: its consumer, process pool, task and Redis transport.

Start at `tasks.py`, the only task. Each module is named for the module of Celery or Kombu that it adapts. Imports `common.broker` and
`common.telemetry` alone; besides `worker/app.py` nothing else imports Celery.
"""
