"""The tables of the first schema, a file a subject, as SQL. Start at `batch.py`. Imports nothing of the product."""
