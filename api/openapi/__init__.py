"""The OpenAPI document: additions that FastAPI cannot derive from the routes.

Start at `document.py`, which completes FastAPI's document in four steps. Imports nothing of `routes`, `watch` or
`services`.
"""
