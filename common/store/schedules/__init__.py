"""Schedules: what clients and the file of schedules change, and the fires of the controller.

Start at `firing.py`, the controller's transaction; `changes.py` has those of clients. Imports
nothing above the store.
"""
