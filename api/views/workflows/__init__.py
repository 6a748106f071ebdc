"""Workflows as responses.

Start at `models.py`; `bodies.py` makes the bodies. Imports nothing from the routes.
"""
