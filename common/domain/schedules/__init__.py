"""Schedules: the instants of each, and what becomes of an instant that is due. Pure functions of a time.

Start at `firing.py`. Imports the rest of the domain alone, and cronsim.
"""
