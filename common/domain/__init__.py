"""The domain: pure values and decisions. Time and random numbers are arguments.

Start at `job.py`, then `decisions.py`, which decides what follows an attempt. Imports nothing but the standard library,
and no I/O.
"""
