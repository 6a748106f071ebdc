"""Memory that the parent of a worker shares with its processes: slots, metrics, exemplars.

Start at `slots.py`: a process writes what it runs, the parent reads it, nothing is locked. Imports `common` alone.
"""
