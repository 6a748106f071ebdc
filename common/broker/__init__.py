"""Redis: doorbells, the change feed, Celery's settings, clients.

Start at `doorbells.py`. All of it may be lost at any moment: PostgreSQL is the queue. Imports neither Celery nor the store.
"""
