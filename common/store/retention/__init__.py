"""Retention: the four ways in which data is deleted.

By partition (`by_partition.py`, start here), by row where a partition cannot go as a whole (`by_row.py`), by a time of the job's own
(`per_job.py`), and keys (`keys.py`). Imports `common.store.schema` and `common.store.connection` alone.
"""
