"""The contents of PostgreSQL's system catalogue, to compare the schemas of two databases."""

from rig.system import Database

#: Without partitions, which are created and dropped by date.
_IN_SCHEMA = "relnamespace = to_regnamespace('jobproc')"
_SCHEMA_TABLES = f"c.{_IN_SCHEMA} AND NOT c.relispartition AND c.relname <> 'alembic_version'"
_QUERIES = {
    "tables": f"""SELECT c.relname, c.relkind::text, c.relpersistence::text, pg_get_partkeydef(c.oid),
            (SELECT array_agg(o ORDER BY o) FROM unnest(c.reloptions) o)
        FROM pg_class c WHERE {_SCHEMA_TABLES} AND c.relkind IN ('r', 'p')""",
    "columns": f"""SELECT c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            a.attidentity::text, a.attgenerated::text, a.attcollation::regcollation::text, a.attstorage::text,
            a.attcompression::text, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE {_SCHEMA_TABLES} AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraints": f"""SELECT c.relname, n.conname, n.contype::text, pg_get_constraintdef(n.oid)
        FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid WHERE {_SCHEMA_TABLES}""",
    "indexes": f"""SELECT c.relname, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisvalid
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE {_SCHEMA_TABLES}""",
    "views": f"SELECT c.relname, pg_get_viewdef(c.oid) FROM pg_class c WHERE {_SCHEMA_TABLES} AND c.relkind = 'v'",
}

Schema = dict[str, list[tuple[object, ...]]]


def schema(url: str) -> Schema:
    """Return the tables, columns, constraints, indexes and views of a database, each sorted."""
    database = Database(url)
    try:
        return {part: sorted(database.rows(sql), key=repr) for part, sql in _QUERIES.items()}
    finally:
        database.close()


def all_rows_and_files(url: str) -> Schema:
    """Return everything that a run of the migrations could change, down to the version of each row and file."""
    database = Database(url)
    try:
        return {
            "files": database.rows(f"SELECT oid, relname, relfilenode FROM pg_class WHERE {_IN_SCHEMA} ORDER BY 1"),
            "operations": database.rows("SELECT xmin::text, ctid::text, * FROM operations ORDER BY name"),
            "version": database.rows("SELECT xmin::text, ctid::text, * FROM alembic_version"),
        }
    finally:
        database.close()
