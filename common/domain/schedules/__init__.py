"""Schedules: the instants of each, and the decision about an instant that is due. Pure functions of a time.

Start at `firing.py`. Imports only the domain, and cronsim for the arithmetic of cron expressions.
"""
