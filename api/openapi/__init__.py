"""The OpenAPI document: what FastAPI does not know of it.

Start at `document.py`, which completes FastAPI's document in four steps. Imports nothing of `routes`, `watch` or `services`.
"""
