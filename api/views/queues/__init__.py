"""Responses about queues, their policies and the change feed. Start at `resource.py`. Imports no other views."""
