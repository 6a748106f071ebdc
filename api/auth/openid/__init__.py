"""Callers with tokens of an OpenID provider. Imported only where one is configured: it needs 12 MiB of memory more."""
