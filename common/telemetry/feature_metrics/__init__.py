"""Metrics of single features, declared as those in `metrics.py`.

Start at `feed.py`. Imports nothing but `metric_families`.
"""
