"""The response and request models of webhooks. Start at `endpoints.py`. Imports only
`api.views.cursors` and `api.views.filters` of the other views.
"""
