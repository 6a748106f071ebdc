"""The routes of webhooks. Start at `endpoints.py`. Imports nothing from the other routes."""
