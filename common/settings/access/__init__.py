"""Settings of who may use the API, and how much.

Start at `authentication.py`.
"""
