"""The change feed of the first schema.

Start at `tables.py`.
"""
