"""Webhooks: events, URLs and networks of receivers, signatures, the circuit of an endpoint.

Start at `events.py`. Imports nothing from the rest of the domain.
"""
