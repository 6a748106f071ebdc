"""Seeded hostile requests and messages against a running system, then the laws that it must keep.

Start at `run.py`. `requests.py` makes requests, `wire.py` breaks their bytes, `connection.py` sends them, `laws.py`
judges the exchanges.
"""
