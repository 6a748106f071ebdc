"""The controller's part of webhooks. Start at `sweep.py`. Imports nothing from the other tasks."""
