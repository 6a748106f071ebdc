"""Callers with tokens of an OpenID provider. Start at `tokens.py`, which verifies a token.

Imported only where a provider is configured: it takes 15 MiB and 0.15 s.
"""
