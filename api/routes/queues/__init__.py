"""Routes about queues. Start at `resource.py`. Imports no other folder of routes."""
