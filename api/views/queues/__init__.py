"""Responses about queues, and reasons of their policies. Start at `resource.py`. Imports no other views."""
