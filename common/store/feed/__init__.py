"""The change feed: changes of jobs of followed queues, numbered in one order for all readers of a tenant.

Triggers of `live` record the changes (`common/migrations/tables/feed.py`); `following.py` sets which queues they
record. Start at `numbering.py`, which gives the recorded changes their numbers. Imports nothing of `jobs` or `queues`.
"""
