"""What many clients watch, read once for all of them: the statistics of the queues, and lists of jobs.

Start at `stream.py`, the stream of all of these; `live.py` and `list_watchers.py` read what it sends. Imports
nothing from `routes`, `submit` or `views`.
"""
