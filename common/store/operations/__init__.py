"""Operations: the catalogue that workers publish, and the resource usage of each operation.

Start at `catalogue.py`; `operations.json` holds the built-in ones. Imports `common.store.schema` and
`common.store.connection` alone.
"""
