"""The response and request models of webhooks: `endpoints.py` and `deliveries.py`."""
