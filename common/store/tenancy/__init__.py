"""Tenants, and the API keys of their clients."""
