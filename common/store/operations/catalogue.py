"""The operations that workers have shown to know, with their defaults."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy
from common.store.connection.statement import Statement

if TYPE_CHECKING:  # the worker does without SQLAlchemy, the API without psycopg2
    from sqlalchemy import Connection

    from common.store.connection.psycopg2_session import WorkerConnection

BUILT_IN = Path(__file__).parent / "operations.json"  # made from worker/operations by `make generate`


def built_in() -> list[OperationSpec]:
    """Return the operations that every worker image has, so that they can be submitted before a worker has started."""
    return [OperationSpec(**entry | {"retry": RetryPolicy(**entry["retry"])}) for entry in json.loads(BUILT_IN.read_text())]


def as_json(specs: Sequence[OperationSpec]) -> str:
    """Return the text of the built-in catalogue."""
    return json.dumps([asdict(spec) for spec in specs], indent=1) + "\n"


_COLUMNS = "queue, max_attempts, retry_base_s, retry_cap_s, timeout_ms, description, input_schema, version, since"
_EXCLUDED = ", ".join(f"excluded.{name}" for name in _COLUMNS.split(", "))
_PUBLISH = Statement(
    "publish_operations",
    "json",
    f"""
    INSERT INTO operations AS o (name, {_COLUMNS})
    SELECT name, {_COLUMNS} FROM json_populate_recordset(NULL::operations, $1) ORDER BY name
    ON CONFLICT (name) DO UPDATE SET ({_COLUMNS}, updated_at) = ({_EXCLUDED}, clock_timestamp())
    WHERE (o.{_COLUMNS.replace(", ", ", o.")}) IS DISTINCT FROM ({_EXCLUDED}) AND o.version <= excluded.version
    RETURNING name
    """,  # who waits for the first of its rows holds no other
)
_READ = f"SELECT name, {_COLUMNS} FROM operations ORDER BY name"


def publish(connection: "WorkerConnection", specs: Sequence[OperationSpec]) -> None:
    """Write down operations and their defaults; only rows that differ are written, and none of a newer version. Atomic: all or none."""
    connection.run(_PUBLISH, [_rows(specs)])


def publish_built_in(connection: "Connection") -> None:
    """Do so with the built-in ones. The caller commits."""
    connection.exec_driver_sql(_PUBLISH.inline, _PUBLISH.named_arguments([_rows(built_in())]))


def _rows(specs: Sequence[OperationSpec]) -> str:
    return json.dumps(
        [
            {
                "name": spec.name,
                "queue": spec.queue,
                "max_attempts": spec.retry.max_attempts,
                "retry_base_s": spec.retry.base_s,
                "retry_cap_s": spec.retry.cap_s,
                "timeout_ms": spec.timeout_ms,
                "description": spec.description,
                "input_schema": spec.input_schema,
                "version": spec.version,
                "since": spec.since,
            }
            for spec in specs
        ]
    )


def read(connection: "Connection") -> dict[str, OperationSpec]:
    """Return every operation by its name."""
    return {row.name: _spec(row) for row in connection.exec_driver_sql(_READ)}


def _spec(row: Any) -> OperationSpec:
    return OperationSpec(
        name=row.name,
        queue=row.queue,
        retry=RetryPolicy(row.max_attempts, row.retry_base_s, row.retry_cap_s),
        timeout_s=None if row.timeout_ms is None else row.timeout_ms / 1000,
        description=row.description,
        input_schema=row.input_schema,
        version=row.version,
        since=row.since,
    )
