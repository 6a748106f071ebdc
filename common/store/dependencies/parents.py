"""Reads what the parents of a job came to, for the attempt that runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.store.connection.statement import Statement
from common.store.dependencies.fragments import ALL_PARENTS

if TYPE_CHECKING:  # it imports psycopg2, which the API does not need
    from common.store.connection.psycopg2_session import WorkerConnection

# The first submitted parent first: the array has the latest one first, and behind it those that were added.
PARENTS = Statement(
    "parents_of",
    "uuid, bigint",
    f"""
    SELECT p.id::text, j.node, j.operation, o.status,
           CASE WHEN sum(octet_length(o.result::text)) OVER (ORDER BY p.id) <= $2 THEN o.result::text END
    FROM (SELECT DISTINCT parent.id FROM jobs j CROSS JOIN LATERAL unnest({ALL_PARENTS}) AS parent(id)
          WHERE j.id = $1) p
    CROSS JOIN LATERAL (SELECT node, operation FROM jobs WHERE jobs.id = p.id OFFSET 0) j
    CROSS JOIN LATERAL (
        SELECT status, result FROM outcomes WHERE outcomes.id = p.id ORDER BY run DESC LIMIT 1) o
    ORDER BY p.id
    """,
)


@dataclass(frozen=True, slots=True)
class ParentOutcome:
    """The end of a parent."""

    job_id: str
    node: str
    operation: str
    status: str
    result: str | None  #: JSON text; None: it has not succeeded, or the results together are larger than the limit

    @property
    def is_cut(self) -> bool:
        """True if its result was not read."""
        return self.result is None and self.status == "SUCCESS"


def parents_of(connection: "WorkerConnection", job_id: str, max_bytes: int) -> list[ParentOutcome]:
    """Return the parents of a job in the order of the submission, with results of up to `max_bytes` together."""
    return [ParentOutcome(*row) for row in connection.run(PARENTS, (job_id, max_bytes))]
