"""Limits of queues, as clients and the file of queues write them.

Start at `limits.py`. Imports only the domain, Pydantic and the reader of files.
"""
