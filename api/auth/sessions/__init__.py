"""Console sessions: browsers that have signed in. Start at `known_sessions.py`, which finds the session of a cookie.

Imports only `auth`, `web` and the store.
"""
