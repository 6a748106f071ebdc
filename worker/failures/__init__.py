"""Failed attempts, for people: their tracebacks and their lines in the log.

Start at `outcome_log.py`, which every part calls that decides about attempts. Imports only `common`.
"""
