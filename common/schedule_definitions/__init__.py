"""Definitions of schedules, as clients and the file of schedules write them.

Start at `definition.py`. Imports only the domain, Pydantic and PyYAML.
"""
