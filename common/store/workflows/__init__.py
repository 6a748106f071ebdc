"""Workflows as clients and the controller see them: their graphs, the retry of what has failed, the sweep.

Each has a row in `batches`, with the counts, the end, the cancel and the follow-up of a batch. Start at `reads.py`;
which job may run is decided in `dependencies`. Imports nothing from `queues`.
"""
