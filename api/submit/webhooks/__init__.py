"""The endpoints of webhooks that submissions name. Start at `known_endpoints.py`. Imports nothing from `api`."""
