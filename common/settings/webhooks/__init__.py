"""Settings of webhooks: where to they may be sent, and how deliveries are tried.

Start at `receivers.py`. Imports nothing but `common.settings`, `common.domain` and `common.secret_encryption`.
"""
