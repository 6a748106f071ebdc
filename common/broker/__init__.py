"""Redis: doorbells, change notifications, Celery's settings, clients.

Start at `doorbells.py`. All data in Redis may be lost at any moment, because PostgreSQL is the queue. Imports neither
Celery nor the store.
"""
