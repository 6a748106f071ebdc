"""Claim and settle: the two statements that every job goes through, in one transaction."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.domain.job import PRIORITIES, ClaimedJob, ClaimExtras, ConcurrencyKey, RunningKey
from common.store.connection.statement import Row, Statement, array_literal
from common.store.jobs.fragments import ORIGINAL_RUN
from common.store.workers.fragments import LEASE_ALIVE

if TYPE_CHECKING:  # it imports psycopg2, which the API does not need
    from common.store.connection.psycopg2_session import WorkerConnection


NIL_UUID = "00000000-0000-0000-0000-000000000000"
# A low-water mark stays this far behind the clock. A job whose insert took longer to commit is a stray, which the
# controller requeues. Half a second is a hundred commits.
MARK_SLACK = "interval '0.5 s'"

# Rows are locked in the order of their ids, so that two settles of overlapping batches cannot deadlock. An id that is
# not returned was fenced: another attempt or another worker owns the row, or there is none. If a cancel was
# acknowledged before, the result is discarded.
SETTLING = """
mine AS MATERIALIZED (
    SELECT l.id, l.tenant, l.run, l.attempt, l.released, l.rev, l.started_at, l.cancel_requested,
           d.result, d.execution_us / 1e6 AS execution_s
    FROM ROWS FROM (unnest($2), unnest($3), json_array_elements($4), unnest($5)) AS d(id, attempt, result, execution_us)
    JOIN live l ON l.id = d.id
    WHERE l.attempt = d.attempt AND l.worker = $1
    ORDER BY l.id FOR UPDATE OF l),
gone AS (
    DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine))),
done AS (
    INSERT INTO outcomes (
        id, tenant, run, attempt, released, rev, worker, started_at, status, result, execution_s, cpu_s, peak_mib)
    SELECT id, tenant, run, attempt, released, rev + 1, $1, started_at,
           CASE WHEN cancel_requested THEN 'CANCELLED' ELSE 'SUCCESS' END,
           CASE WHEN cancel_requested THEN NULL ELSE result END, execution_s, execution_s * $6, $7
    FROM mine
    RETURNING id)
"""

# The input of a later run: the newest one that came with a manual retry, else the submitted one.
RUN_INPUT = """coalesce(
    (SELECT r.input FROM runs r
     WHERE r.id = t.id AND r.run <= t.run AND r.input IS NOT NULL ORDER BY r.run DESC LIMIT 1), j.input)"""

# Larger inputs are not claimed with a batch: hundreds of them would fill a process's memory. Compressed, as stored.
LARGE_INPUT_BYTES = 32_768
_LARGE = f"pg_column_size(j.input) > {LARGE_INPUT_BYTES}"

_ORIGINAL_RUN = ORIGINAL_RUN.format(row="t")
# Properties that few jobs have, as JSON; NULL for all other jobs. Of a live row t and its job j.
CLAIM_EXTRAS = f"""
    CASE WHEN t.run > 0 OR t.isolated OR t.crashes > 0 OR j.retry_base_s IS NOT NULL OR j.retry_cap_s IS NOT NULL
           OR (j.deadline IS NOT NULL AND {_ORIGINAL_RUN}) OR j.unique_while = 'running' OR {_LARGE}
           OR j.tags IS NOT NULL OR j.metadata IS NOT NULL OR j.concurrency_key IS NOT NULL
    THEN json_build_object(
        'run', t.run, 'isolated', t.isolated, 'crashes', t.crashes,
        'retry_base_s', j.retry_base_s, 'retry_cap_s', j.retry_cap_s,
        'deadline_in_s', CASE WHEN {_ORIGINAL_RUN} THEN date_part('epoch', j.deadline - clock_timestamp()) END,
        'running_key', CASE j.unique_while WHEN 'running' THEN json_build_array(j.tenant, j.unique_key) END,
        'concurrency_key', json_build_array(j.tenant, j.queue, j.concurrency_key),
        'is_input_large', {_LARGE} AND t.run = 0, 'tags', j.tags, 'metadata', j.metadata,
        'deadline', CASE WHEN {_ORIGINAL_RUN} THEN j.deadline END)::text END"""

# Conditions, with LEASE_ALIVE, under which a worker may claim a live row l. GET /jobs/{id}/explain evaluates the same.
UNCLAIMED, DUE = "l.worker IS NULL", "l.claimable_at <= now()"
RUNNABLE = "(l.needs IS NULL OR l.needs = ANY ({operations}))"
RUNNABLE_HERE = RUNNABLE.format(operations="(SELECT w.operations FROM workers w WHERE w.id = $1)::text[]")

# The floor of the marks after a claim; no row if the queue $8 has a policy. Then the scan of `pick` does not begin, and
# only a claim under policies takes jobs. A policy so holds for all claims whose snapshot is of after its commit.
OPEN = f"""
open AS MATERIALIZED (
    SELECT (now() - {MARK_SLACK})::text AS floor WHERE NOT EXISTS (
        SELECT FROM queue_policies WHERE queue = $8 AND in_force))
"""
IS_OPEN = "(SELECT floor FROM open) IS NOT NULL"

# One index scan a priority, from its low-water mark on: dead entries before the mark are never read. MATERIALIZED
# matters: a sub-select with LIMIT that is executed again locks more than n rows.
_PICK = f"""
{OPEN},
pick AS MATERIALIZED (
    SELECT due.id
    FROM ROWS FROM (unnest($9), unnest($10), unnest($11)) AS mark(priority, claimable_at, id)
    CROSS JOIN LATERAL (
        SELECT l.id FROM live l
        WHERE l.queue = $8 AND l.priority = mark.priority AND (l.claimable_at, l.id) > (mark.claimable_at, mark.id)
          AND {UNCLAIMED} AND {DUE} AND {RUNNABLE_HERE}
        ORDER BY l.claimable_at, l.id LIMIT $12 FOR UPDATE SKIP LOCKED) due
    WHERE {IS_OPEN}
    LIMIT $12)
"""
# Take the rows of `pick`; returns each with what its process needs to know of it, or one row without a job.
_TAKE_PICKED = f"""
taken AS (
    UPDATE live l
    SET worker = $1, attempt = attempt + 1, rev = rev + 1, started_at = clock_timestamp(),
        progress = NULL, progress_text = NULL
    WHERE l.id = ANY (ARRAY(SELECT id FROM pick))
      AND EXISTS (SELECT FROM workers w WHERE w.id = $1 AND {LEASE_ALIVE})
    RETURNING l.id, l.attempt, l.released, l.max_attempts, l.priority, l.claimable_at, l.started_at, l.run, l.isolated,
              l.crashes, l.tenant)
SELECT (SELECT count(*) FROM done), (SELECT floor FROM open), t.priority, t.claimable_at::text, t.id::text,
       t.attempt, t.released, t.max_attempts, j.operation,
       CASE WHEN t.run > 0 THEN {RUN_INPUT} WHEN NOT {_LARGE} THEN j.input END::text, j.timeout_ms, j.trace,
       date_part('epoch', t.started_at - t.claimable_at), {CLAIM_EXTRAS}, t.tenant{{more}}
FROM (VALUES (1)) AS single(n)
LEFT JOIN (taken t JOIN jobs j ON j.id = t.id) ON true
"""


def take_picked(more: str = "") -> str:
    """Return the end of a claim: it takes the rows of `pick`, and returns each job, or one row without a job.

    `more`: further columns.
    """
    return _TAKE_PICKED.format(more=more)


SETTLE_AND_CLAIM = Statement(
    "settle_and_claim",
    "bigint, uuid[], smallint[], json, bigint[], float8, float8, text, smallint[], timestamptz[], uuid[], bigint",
    f"WITH {SETTLING}, {_PICK}, {take_picked()}",
)

SETTLE = Statement(
    "settle", "bigint, uuid[], smallint[], json, bigint[], float8, float8", f"WITH {SETTLING} SELECT id::text FROM done"
)

SUCCEEDED_BEFORE = Statement(
    "succeeded_before",
    "bigint, uuid[], smallint[]",
    """
    SELECT d.id::text FROM unnest($2, $3) AS d(id, attempt)
    CROSS JOIN LATERAL (
        SELECT FROM outcomes o
        WHERE o.id = d.id AND o.attempt = d.attempt AND o.worker = $1 AND o.status <> 'FAILED' OFFSET 0) o
    """,
)

READ_INPUT = Statement("read_input", "uuid", "SELECT input::text FROM jobs WHERE id = $1")


@dataclass(slots=True)
class LowWaterMarks:
    """Low-water marks of one worker process in one queue, by priority. Below them it has no more jobs to claim."""

    claimable_at: dict[int, str] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, "-infinity"))
    id: dict[int, str] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, NIL_UUID))

    def advance(self, limit: int, claimed: Sequence[tuple[int, str, str]], floor: str) -> None:
        """Move the marks after a claim of up to `limit` jobs (priority, claimable_at, id). `floor`: now less
        MARK_SLACK.

        A claim of fewer jobs has read every priority to its end: all marks move to the floor. A full claim has read the
        priorities before that of its last row to their end, and that one up to the row.
        """
        if len(claimed) < limit:
            exhausted, last = PRIORITIES.stop, None
        else:
            last = max(claimed)
            exhausted = last[0]
        for priority in range(exhausted):
            self.claimable_at[priority], self.id[priority] = floor, NIL_UUID
        if last is not None:
            self.claimable_at[exhausted], self.id[exhausted] = min((last[1], last[2]), (floor, NIL_UUID))


@dataclass(slots=True)
class Results:
    """Attempts that ended with a result, ready to be settled."""

    ids: list[str] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    results: list[str] = field(default_factory=list)  #: JSON texts
    execution_us: list[int] = field(default_factory=list)  #: microseconds in the operation
    cpu_share: float | None = None  #: share of that time in which the process used a CPU; None: not measured
    peak_mib: float | None = None  #: highest memory of the process meanwhile; None: not measured
    characters: int = 0  #: of all results

    def add(self, job: ClaimedJob, result: str, execution_s: float) -> None:
        """Add the result (JSON text) of an attempt that took `execution_s` seconds in its operation."""
        self.characters += len(result)
        self.ids.append(job.id)
        self.attempts.append(job.attempt)
        self.results.append(result)
        self.execution_us.append(int(execution_s * 1e6))

    def rows(self) -> Iterator[tuple[ClaimedJob, str, float]]:
        """Yield each job with the fields that fence a write, its result, and its seconds in the operation."""
        for job_id, attempt, text, execution_us in zip(
            self.ids, self.attempts, self.results, self.execution_us, strict=True
        ):
            yield ClaimedJob(job_id, attempt, 0, 1, "", None, None), text, execution_us / 1e6

    def arguments(self) -> tuple[str, str, str, str, float | None, float | None]:
        """Return the arguments of a settle, arrays as literals."""
        return (
            array_literal(self.ids),
            array_literal(self.attempts),
            f"[{','.join(self.results)}]",
            array_literal(self.execution_us),
            self.cpu_share,
            self.peak_mib,
        )


_PRIORITY_ARRAY = array_literal(PRIORITIES)


def settle_and_claim(
    connection: "WorkerConnection", worker: int, results: Results, queue: str, marks: LowWaterMarks, limit: int
) -> tuple[int, list[ClaimedJob]]:
    """Store the results, claim up to `limit` jobs of a queue, and advance the marks. Atomic in the database.

    Return the number of stored results (the others were fenced and changed nothing) and the claimed jobs in queue
    order. A worker process whose lease has ended claims none. Raises PolicyFound.
    """
    rows = connection.run(
        SETTLE_AND_CLAIM,
        (
            worker,
            *results.arguments(),
            queue,
            _PRIORITY_ARRAY,
            array_literal(marks.claimable_at.values()),
            array_literal(marks.id.values()),
            limit,
        ),
    )
    stored, floor, rows = taken_rows(rows)
    marks.advance(limit, [row[2:5] for row in rows], floor)
    return stored, claimed_jobs(rows)


class PolicyFound(Exception):
    """The queue has a policy, so that a claim has settled and taken nothing."""

    def __init__(self, stored: int) -> None:
        """`stored`: the number of stored results."""
        super().__init__(stored)
        self.stored = stored


def taken_rows(rows: list[Row]) -> tuple[int, str, list[Row]]:
    """Return what a claim says: the number of stored results, now less MARK_SLACK, the rows of claimed jobs.

    Raises PolicyFound.
    """
    if rows[0][1] is None:
        raise PolicyFound(rows[0][0])
    return rows[0][0], rows[0][1], [] if rows[0][2] is None else rows


def claimed_jobs(rows: list[Row]) -> list[ClaimedJob]:
    """Return the jobs of these rows of a claim in queue order."""
    if len(rows) > 1:
        rows.sort(key=_queue_position)
    return [
        ClaimedJob(r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], claim_extras(r[13]), r[14]) for r in rows
    ]


def claim_extras(text: str | None) -> ClaimExtras | None:
    """Parse a value of CLAIM_EXTRAS."""
    if text is None:
        return None
    extras = json.loads(text)
    if extras["running_key"] is not None:
        extras["running_key"] = RunningKey(*extras["running_key"])
    key = extras["concurrency_key"]
    extras["concurrency_key"] = None if key[2] is None else ConcurrencyKey(*key)
    return ClaimExtras(**extras)


def _queue_position(row: Row) -> Row:
    return row[2:5]


def settle(connection: "WorkerConnection", worker: int, results: Results) -> set[str]:
    """Store the results without a claim, and return the ids of stored ones, also of those stored by an earlier try.

    After a lost answer, only the row in `outcomes` shows whether the earlier try was committed.
    """
    if not results.ids:
        return set()
    stored = {row[0] for row in connection.run(SETTLE, (worker, *results.arguments()))}
    if len(stored) < len(results.ids):
        stored |= {row[0] for row in connection.run(SUCCEEDED_BEFORE, (worker, *results.arguments()[:2]))}
    return stored


def read_input(connection: "WorkerConnection", job_id: str) -> str:
    """Return the submitted input of a job as JSON text."""
    return str(connection.run(READ_INPUT, (job_id,))[0][0])
