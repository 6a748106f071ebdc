"""The catalogue of operations that workers have published, with their defaults."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy
from common.store.connection.statement import Statement

if TYPE_CHECKING:  # workers do without SQLAlchemy, the API without psycopg2
    from sqlalchemy import Connection

    from common.store.connection.psycopg2_session import WorkerConnection

BUILT_IN = Path(__file__).parent / "operations.json"  # generated from worker/operations by `make generate`


def built_in() -> list[OperationSpec]:
    """Return the operations that every worker image has; they can be submitted before a worker has started."""
    return [
        OperationSpec(**entry | {"retry": RetryPolicy(**entry["retry"]), "queues": tuple(entry["queues"])})
        for entry in json.loads(BUILT_IN.read_text())
    ]


def as_json(specs: Sequence[OperationSpec]) -> str:
    """Return specs in the form of operations.json."""
    return json.dumps([asdict(spec) for spec in specs], indent=1) + "\n"


_COLUMNS = (
    "queue, max_attempts, retry_base_s, retry_cap_s, timeout_ms, description, input_schema, version, oldest_version, "
    "queues, output_schema"
)
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
    """,  # ordered by name, so that concurrent workers cannot deadlock
)
_READ = f"SELECT name, {_COLUMNS} FROM operations ORDER BY name"


def publish(connection: "WorkerConnection", specs: Sequence[OperationSpec]) -> None:
    """Store operations and their defaults. Rows that are equal or have a newer version stay unchanged. Atomic."""
    connection.run(_PUBLISH, [_rows(specs)])


def publish_built_in(connection: "Connection") -> None:
    """Store the built-in operations in the same way. The caller commits."""
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
                "oldest_version": spec.oldest_version,
                "queues": spec.queues,
                "output_schema": spec.output_schema,
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
        oldest_version=row.oldest_version,
        queues=tuple(row.queues),
        output_schema=row.output_schema,
    )
