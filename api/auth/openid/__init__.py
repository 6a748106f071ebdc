"""Callers with tokens of an OpenID provider. Start at `tokens.py`, which verifies a token.

Imports only `auth` and `web`. Imported only where a provider is configured: it takes 15 MiB and 0.15 s.
"""
