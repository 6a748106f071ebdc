"""Clients that wait for a job: long polls and streams of server-sent events.

Start at `watchers.py`, which holds all waiting clients of a process. `change_listener.py` receives the ids of changed
jobs from Redis; `job_stream.py` has what the streams share. Imports nothing from `routes`, `submit` or `views`.
"""
