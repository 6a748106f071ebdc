"""Lists of jobs: one index scan with a row budget a page, and estimates of totals.

Start at `index_scan.py`, which lists, previews and bulk actions share. Imports `common.store.connection` alone.
"""
