"""Stores the jobs that running jobs add to their workflow, in the transaction that stores their results.

So they exist if and only if the result stands: an attempt that fails or is fenced adds none, and one that is repeated
adds none twice. A job that waits for one waits for those that this one has added, too: a question sees either that one
alive or all that it has added.
"""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from common import failpoints
from common.domain.batches import batch_job_id
from common.domain.workflows import AddedJob
from common.store.connection.statement import Statement
from common.store.schema.batch_of_job import BATCH_OF

if TYPE_CHECKING:
    from common.store.connection.psycopg2_session import WorkerConnection

# The row of the workflow hands out the numbers, and is the last one that the transaction locks. No row: the job was
# cancelled, so its result does not stand, or its workflow is gone.
RESERVE = Statement(
    "added_jobs_reserve",
    "uuid, smallint, bigint",
    f"""
    WITH adder AS MATERIALIZED (
        SELECT j.id, j.tenant, j.node, j.children || j.joins AS heirs FROM jobs j
        WHERE j.id = $1 AND j.node IS NOT NULL AND EXISTS (
            SELECT FROM outcomes o WHERE o.id = $1 AND o.attempt = $2 AND o.status = 'SUCCESS'
              AND NOT EXISTS (SELECT FROM outcomes n WHERE n.id = $1 AND n.run > o.run)))
    UPDATE batches b SET jobs = b.jobs + $3, numbers = b.numbers + $3, rev = b.rev + 1
    FROM adder WHERE b.id = {BATCH_OF.format(id="adder.id")} AND b.tenant = adder.tenant AND b.is_workflow
    RETURNING b.id::text, b.numbers - $3 + 1, adder.node, adder.heirs::text[]
    """,
)
# `claimable_at` is now(), so that a claim in the same transaction finds the jobs.
INSERT = Statement(
    "added_jobs_insert",
    "uuid, json",
    """
    WITH d AS MATERIALIZED (
        SELECT * FROM json_to_recordset($2) AS d(
            id uuid, operation text, queue text, input text, priority smallint, max_attempts smallint,
            timeout_ms integer, node text, on_parent_failure text, parents uuid[], children uuid[], joins uuid[])),
    adder AS MATERIALIZED (SELECT id, tenant, submitted_by, trace FROM jobs WHERE id = $1),
    new AS (
        INSERT INTO jobs (
            id, tenant, operation, queue, input, max_attempts, timeout_ms, priority, trace, version, submitted_by,
            created_at, node, on_parent_failure, parents, children, joins)
        SELECT d.id, adder.tenant, o.name, coalesce(d.queue, o.queue), d.input::json,
               coalesce(d.max_attempts, o.max_attempts), coalesce(d.timeout_ms, o.timeout_ms), d.priority, adder.trace,
               o.version, adder.submitted_by, clock_timestamp(), d.node, d.on_parent_failure, d.parents, d.children,
               d.joins
        FROM d CROSS JOIN adder JOIN operations o ON o.name = d.operation
        WHERE d.queue IS NULL OR d.queue = ANY (o.queues)
        RETURNING id, tenant, queue, priority, max_attempts, operation, version, parents),
    live_rows AS (
        INSERT INTO live (id, tenant, queue, priority, max_attempts, claimable_at, needs)
        SELECT id, tenant, queue, priority, max_attempts, CASE WHEN parents = ARRAY[$1] THEN now() ELSE 'infinity' END,
               CASE version WHEN 1 THEN operation ELSE operation || '@' || version END
        FROM new)
    SELECT id::text, CASE WHEN parents = ARRAY[$1] THEN queue END FROM new
    """,
)
FOLLOW = Statement(
    "added_jobs_follow",
    "uuid, uuid[], uuid[]",
    """
    INSERT INTO added_parents (child, adder, tenant, parents)
    SELECT heir.id, $1, j.tenant, $3 FROM jobs j CROSS JOIN unnest($2) AS heir(id) WHERE j.id = $1
    RETURNING true
    """,
)


def add(connection: "WorkerConnection", adder: str, attempt: int, jobs: Sequence[AddedJob]) -> dict[str, int]:
    """Store the jobs that an attempt has added, in the open transaction, which has stored its result.

    Return how many may run at once, by queue. Raises psycopg2.DataError, which names a job that cannot be stored.
    """
    rows = connection.run(RESERVE, (adder, attempt, len(jobs)))
    if not rows:
        return {}
    workflow, first, node, heirs = rows[0]
    ids = [str(batch_job_id(UUID(workflow), number)) for number in range(first, first + len(jobs))]
    records = list(_records(adder, node, jobs, ids, heirs or []))
    failpoints.reach("settle.before_added_jobs")
    inserted = connection.run(INSERT, (adder, json.dumps(records)))
    if len(inserted) < len(jobs):
        from psycopg2 import DataError  # not at the top: the API imports this module

        stored = {row[0] for row in inserted}
        refused = next(job for job, job_id in zip(jobs, ids, strict=True) if job_id not in stored)
        reason = f"no operation has the name {refused.operation!r}"
        if refused.queue is not None:
            reason += f", or it does not allow the queue {refused.queue!r}"
        raise DataError(f"the job {refused.name!r} was not added to the workflow: {reason}")
    if heirs:
        connection.run(FOLLOW, (adder, "{" + ",".join(heirs) + "}", "{" + ",".join(ids) + "}"))
    queues: dict[str, int] = {}
    for _, queue in inserted:
        if queue is not None:
            queues[queue] = queues.get(queue, 0) + 1
    return queues


def _records(
    adder: str, node: str, jobs: Sequence[AddedJob], ids: Sequence[str], heirs: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the jobs as rows. A job that names none of the others waits for the adder, which has ended."""
    positions = {job.name: position for position, job in enumerate(jobs)}
    parents = [sorted((positions[name] for name in job.depends_on), reverse=True) for job in jobs]
    children: list[list[str]] = [[] for _ in jobs]
    joins: list[list[str]] = [list(heirs) for _ in jobs]
    for position, of_job in enumerate(parents):
        for parent in of_job:
            (children if len(of_job) == 1 else joins)[parent].append(ids[position])
    for position, job in enumerate(jobs):
        yield {
            "id": ids[position],
            "operation": job.operation,
            "queue": job.queue,
            "input": job.input,
            "priority": job.priority,
            "max_attempts": job.max_attempts,
            "timeout_ms": job.timeout_ms,
            "node": f"{node}/{job.name}",
            "on_parent_failure": job.on_parent_failure,
            "parents": [ids[parent] for parent in parents[position]] or [adder],
            "children": children[position] or None,
            "joins": joins[position] or None,
        }
