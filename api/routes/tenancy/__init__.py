"""Routes about the tenant of the caller."""
