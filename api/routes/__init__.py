"""The routes of the HTTP interface, one module per resource.

Start at `jobs.py`. A route reads the request, calls `submit`, `watch`, `views` or `common.store`, and returns a
response. Imports no SQL and no driver; only `api/app.py` imports a route.
"""
