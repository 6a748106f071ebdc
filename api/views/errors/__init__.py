"""Error groups: the parameters of GET /errors, and its response. Start at `groups.py`."""
