"""The callers of the API: who they are, and what they may do.

Start at `access.py`, the one place that decides. Imports nothing of `routes`.
"""
