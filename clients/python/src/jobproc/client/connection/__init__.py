"""The connection of clients with the API: start at `steps.py`. Imports only the errors, and `transport.py` HTTPX."""
