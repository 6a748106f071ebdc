"""Declarations of the metrics of single features. Start at `webhooks.py`. Imports only `metric_families`."""
