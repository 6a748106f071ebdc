"""Memory that the parent of a worker shares with its processes: slots, metrics, exemplars.

Start at `slots.py`: a process writes what it runs and the parent reads it, without locks. Imports `common` alone.
"""
