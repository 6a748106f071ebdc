"""Calls of the API as requests and flows, without I/O: start at `jobs.py`.

Imports only the connection and the views.
"""
