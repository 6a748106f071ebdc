"""Records of bulk actions: one for each job that an action has changed, read and deleted by its undo."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal

READ = Statement(
    "bulk_action_records",
    "uuid, bigint",
    """
    SELECT id::text, run, priority, claimable_at IS NOT NULL FROM bulk_action_jobs
    WHERE bulk_action = $1 ORDER BY id LIMIT $2
    """,
)
DELETE = Statement(
    "bulk_action_delete_records",
    "uuid, uuid[]",
    "DELETE FROM bulk_action_jobs WHERE bulk_action = $1 AND id = ANY ($2) RETURNING true",
)


@dataclass(frozen=True, slots=True)
class ChangedJob:
    """The record of a job that an action has changed."""

    id: str
    run: int
    priority: int | None  #: priority before the change
    was_waiting: bool  #: the job was waiting when it was cancelled


def read(connection: WorkerConnection, action: str, limit: int) -> list[ChangedJob]:
    """Return records of an action, by job id, at most `limit`."""
    return [ChangedJob(*row) for row in connection.run(READ, (action, limit))]


def delete(connection: WorkerConnection, action: str, records: Sequence[ChangedJob]) -> None:
    """Delete records of an action whose change was undone or cannot be. In the caller's transaction."""
    connection.run(DELETE, (action, array_literal(record.id for record in records)))
