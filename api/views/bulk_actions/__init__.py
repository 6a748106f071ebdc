"""Bulk actions: request bodies, validated, and response bodies.

Start at `requests.py`. Imports only `api.views.cursors` and `api.views.filters` of the other views.
"""
