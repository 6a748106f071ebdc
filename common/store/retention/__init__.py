"""Retention: the four ways in which data is deleted.

By partition (`by_partition.py`, start here), by row where a partition cannot be cleared as a whole (`by_row.py`), by
the job's own `keep_s` (`per_job.py`), and keys (`keys.py`). Imports `common.store.schema` and
`common.store.connection` alone.
"""
