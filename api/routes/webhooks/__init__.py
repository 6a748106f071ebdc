"""The routes of webhooks: `endpoints.py` and `deliveries.py`. Imports nothing from the other routes."""
