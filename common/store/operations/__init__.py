"""Operations: the catalogue that workers publish, and what jobs of each operation took.

Start at `catalogue.py`; `operations.json` holds the built-in ones. Imports `common.store.schema` and `common.store.connection` alone.
"""
