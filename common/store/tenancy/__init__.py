"""Tenants, the API keys of their clients, and what they use of their quotas."""
