"""Streams whose events are read once for all of their clients: the overview of a tenant, and lists of jobs.

Start at `stream.py`, the stream of all of these; `live.py` and `list_watchers.py` read what it sends. Imports
nothing from `routes`, `submit` or `views`.
"""
