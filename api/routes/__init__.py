"""The routes of the HTTP interface, one module a resource: its table of contents.

Start at `jobs.py`. A route reads the request, calls `submit`, `watch`, `views` or `common.store`, and returns a response. No other folder
but the composition root imports a route.
"""
