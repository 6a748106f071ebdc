"""Values of tenants and of their quotas."""
