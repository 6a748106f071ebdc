"""The change feed for clients: pages, long polls, server-sent events.

Start at `reader.py`, which reads the feed for all clients of a process. Imports nothing from
`routes`, `submit` or `views`.
"""
