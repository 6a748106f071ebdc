"""Clients that wait for a job: long polls and streams of server-sent events.

Start at `watchers.py`, which holds all waiting clients of a process; `change_listener.py` hears from Redis which jobs have changed.
Imports nothing of `routes`, `submit` or `views`.
"""
