"""Settings of who may use the API, and how much.

Start at `authentication.py`. Imports nothing but `common.settings`, `common.domain` and `common.server_urls`.
"""
