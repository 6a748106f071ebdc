"""The HTTP connection of a client: what may arrive on it, how much of it, and how it ends.

Start at `connection.py`, the protocol class that uvicorn makes for each connection. Imports only `api.web` of the other
folders of `api`.
"""
