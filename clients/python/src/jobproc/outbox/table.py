"""The table of the outbox: its statements for each kind of database, and as a table of SQLAlchemy.

Times are seconds since 1970 by the clocks of the application and of its relays: the same type in all databases.
A row that waits has `due_at`, one that was accepted `sent_at` and `job_id`, one that was refused `refused_at` and
`problem`.
"""

import re
from typing import TYPE_CHECKING

from jobproc.errors import DeclarationError

if TYPE_CHECKING:
    import sqlalchemy

TABLE = "jobproc_outbox"
DIALECTS = ("postgresql", "mysql", "sqlite")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,40}\.)?[A-Za-z_][A-Za-z0-9_]{0,40}")
_TYPES = {
    "postgresql": {"time": "double precision", "text": "text", "end": ""},
    # The default character set of a MySQL table may lack characters that JSON has.
    "mysql": {"time": "double", "text": "longtext", "end": " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"},
    "sqlite": {"time": "double precision", "text": "text", "end": ""},
}
_CREATE = """CREATE TABLE {table} (
    id varchar(36) NOT NULL PRIMARY KEY,
    body {text} NOT NULL,
    created_at {time} NOT NULL,
    due_at {time},
    attempts integer NOT NULL DEFAULT 0,
    unsure_since {time},
    sent_at {time},
    job_id varchar(36),
    refused_at {time},
    problem {text}
){end}"""


def checked_name(table: str) -> str:
    """Return the name of a table, which may have its schema before it. Raises DeclarationError for another text."""
    if not _NAME.fullmatch(table):
        raise DeclarationError(f"{table!r} cannot be the table of the outbox: letters, digits and _ are expected")
    return table


def ddl(dialect: str, table: str = TABLE) -> list[str]:
    """Return the statements that make the table in `postgresql`, `mysql` or `sqlite`. Raises DeclarationError."""
    if dialect not in DIALECTS:
        raise DeclarationError(f"{dialect!r} is no database of the outbox: {', '.join(DIALECTS)} are")
    index = checked_name(table).rpartition(".")[2]
    return [
        _CREATE.format(table=table, **_TYPES[dialect]),
        f"CREATE INDEX {index}_due ON {table} (due_at, id)",
        f"CREATE INDEX {index}_sent ON {table} (sent_at)",
    ]


def sqlalchemy_table(metadata: "sqlalchemy.MetaData", table: str = TABLE) -> "sqlalchemy.Table":
    """Add the table to the metadata of SQLAlchemy, for `create_all` and for Alembic, and return it."""
    from sqlalchemy import Column, Double, Index, Integer, String, Table, Text
    from sqlalchemy.dialects.mysql import LONGTEXT

    schema, _, name = checked_name(table).rpartition(".")
    text = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
    return Table(
        name,
        metadata,
        Column("id", String(36), primary_key=True),
        Column("body", text, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("due_at", Double),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("unsure_since", Double),
        Column("sent_at", Double),
        Column("job_id", String(36)),
        Column("refused_at", Double),
        Column("problem", text),
        Index(f"{name}_due", "due_at", "id"),
        Index(f"{name}_sent", "sent_at"),
        schema=schema or None,
    )
