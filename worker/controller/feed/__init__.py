"""The change feed, as the controller keeps it.

Start at `pages.py`.
"""
