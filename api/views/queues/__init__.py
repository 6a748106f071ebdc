"""Responses about queues and of the change feed. Start at `resource.py`. Imports no other view."""
