"""Limits of what clients hold in a process: connections, waiting clients, responses that they have not read.

Start at `connections.py`, which admits connections. `places.py` counts places, also by address; `refusals.py` counts
and logs refused clients. Imports nothing of the API but `web`.
"""
