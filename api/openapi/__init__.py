"""The OpenAPI document: additions that FastAPI cannot derive from the routes; the pages of the documentation.

Start at `document.py`, which completes FastAPI's document in five steps. Imports nothing of `routes`, `watch` or
`services`.
"""
