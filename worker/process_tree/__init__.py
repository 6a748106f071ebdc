"""The processes that operations start: their signals, and their end with the attempt.

Start at `leftovers.py`, for an attempt that ends well, and `orphans.py`, for a worker process that ends. Imports
nothing of the worker.
"""
