"""Routes about queues, and the change feed. Start at `resource.py`. Imports no other folder of routes."""
