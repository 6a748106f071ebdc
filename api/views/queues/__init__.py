"""Responses about queues, in `resource.py`."""
