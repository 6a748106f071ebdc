"""Claim and settle: the two statements that every job goes through, as one transaction."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.domain.job import PRIORITIES, ClaimedJob, ClaimExtras
from common.store.connection.statement import Statement, array_literal
from common.store.jobs.fragments import ORIGINAL_RUN

if TYPE_CHECKING:  # with it comes psycopg2, which the API does without
    from common.store.connection.psycopg2_session import WorkerConnection


NIL_UUID = "00000000-0000-0000-0000-000000000000"
# A mark is never later than this before now: an insert that took longer than that to commit is a stray, which the
# controller floats. Half a second is a hundred commits.
MARK_SLACK = "interval '0.5 s'"

# Rows are locked in the order of their ids, so that two settles of overlapping batches cannot deadlock. An id that does not
# come back was fenced: another attempt or another worker owns the row, or it is gone. A result that comes after a cancel was
# acknowledged is not kept.
_SETTLE = """
mine AS MATERIALIZED (
    SELECT l.id, l.epoch, l.attempt, l.released, l.rev, l.started_at, l.cancel, d.result, d.run_us / 1e6 AS run_s
    FROM ROWS FROM (unnest($2), unnest($3), json_array_elements($4), unnest($5)) AS d(id, attempt, result, run_us)
    JOIN live l ON l.id = d.id
    WHERE l.attempt = d.attempt AND l.worker = $1
    ORDER BY l.id FOR UPDATE OF l),
gone AS (
    DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine))),
done AS (
    INSERT INTO outcomes (id, epoch, attempt, released, rev, worker, started_at, status, result, run_s, cpu_s, peak_mib)
    SELECT id, epoch, attempt, released, rev + 1, $1, started_at, CASE WHEN cancel THEN 'CANCELLED' ELSE 'SUCCESS' END,
           CASE WHEN cancel THEN NULL ELSE result END, run_s, run_s * $6, $7
    FROM mine
    RETURNING id)
"""

# What a later epoch runs with: the newest input that an explicit retry brought.
RUN_INPUT = """coalesce(
    (SELECT r.input FROM reruns r WHERE r.id = t.id AND r.epoch <= t.epoch AND r.input IS NOT NULL ORDER BY r.epoch DESC LIMIT 1), j.input)"""

# Not with a batch: hundreds of great inputs at once would fill a process's memory. As it is stored, so compressed.
LARGE_INPUT_BYTES = 32_768
_LARGE = f"pg_column_size(j.input) > {LARGE_INPUT_BYTES}"

_ORIGINAL_RUN = ORIGINAL_RUN.format(of="t")
# What few jobs have, as JSON; NULL for all others. Of a live row t and its job j.
CLAIM_EXTRAS = f"""
    CASE WHEN t.alone OR t.crashes > 0 OR j.retry_base_s IS NOT NULL OR j.retry_cap_s IS NOT NULL OR (j.deadline IS NOT NULL AND {_ORIGINAL_RUN})
           OR j.unique_while = 'running' OR {_LARGE}
    THEN json_build_object('alone', t.alone, 'crashes', t.crashes, 'retry_base_s', j.retry_base_s, 'retry_cap_s', j.retry_cap_s,
        'left_s', CASE WHEN {_ORIGINAL_RUN} THEN date_part('epoch', j.deadline - clock_timestamp()) END,
        'mutex', CASE j.unique_while WHEN 'running' THEN j.unique_key END, 'large', {_LARGE} AND t.epoch = 0)::text END"""

# What must hold of a live row l for a worker w to take it; GET /jobs/{id}/explain asks the same.
LEASE_ALIVE = "w.ended_at IS NULL AND w.alive_until > clock_timestamp()"
UNCLAIMED, DUE = "l.worker IS NULL", "l.pos <= now()"
RUNNABLE = "(l.needs IS NULL OR l.needs = ANY ({operations}))"
_RUNNABLE_HERE = RUNNABLE.format(operations="(SELECT w.operations FROM workers w WHERE w.id = $1)::text[]")

# One index scan a priority, from its low-water mark on: dead entries left of it are never walked. MATERIALIZED matters: a
# sub-select with LIMIT that is run again takes more than n.
_CLAIM = f"""
pick AS MATERIALIZED (
    SELECT one.id
    FROM ROWS FROM (unnest($9), unnest($10), unnest($11)) AS mark(priority, pos, id)
    CROSS JOIN LATERAL (
        SELECT l.id FROM live l
        WHERE l.queue = $8 AND l.priority = mark.priority AND (l.pos, l.id) > (mark.pos, mark.id)
          AND {UNCLAIMED} AND {DUE} AND {_RUNNABLE_HERE}
        ORDER BY l.pos, l.id LIMIT $12 FOR UPDATE SKIP LOCKED) one
    LIMIT $12),
taken AS (
    UPDATE live l
    SET worker = $1, attempt = attempt + 1, rev = rev + 1, started_at = clock_timestamp(), progress = NULL, progress_text = NULL
    WHERE l.id = ANY (ARRAY(SELECT id FROM pick))
      AND EXISTS (SELECT FROM workers w WHERE w.id = $1 AND {LEASE_ALIVE})
    RETURNING l.id, l.attempt, l.released, l.max_attempts, l.priority, l.pos, l.started_at, l.epoch, l.alone, l.crashes)
SELECT (SELECT count(*) FROM done), (now() - {MARK_SLACK})::text, t.priority, t.pos::text, t.id::text,
       t.attempt, t.released, t.max_attempts, j.operation,
       CASE WHEN t.epoch > 0 THEN {RUN_INPUT} WHEN NOT {_LARGE} THEN j.input END::text, j.timeout_ms, j.trace,
       date_part('epoch', t.started_at - t.pos), {CLAIM_EXTRAS}
FROM (VALUES (1)) AS always(one)
LEFT JOIN (taken t JOIN jobs j ON j.id = t.id) ON true
"""

SETTLE_AND_CLAIM = Statement(
    "settle_and_claim",
    "bigint, uuid[], smallint[], json, bigint[], float8, float8, text, smallint[], timestamptz[], uuid[], bigint",
    f"WITH {_SETTLE}, {_CLAIM}",
)

SETTLE = Statement("settle", "bigint, uuid[], smallint[], json, bigint[], float8, float8", f"WITH {_SETTLE} SELECT id::text FROM done")

SUCCEEDED_BEFORE = Statement(
    "succeeded_before",
    "bigint, uuid[], smallint[]",
    """
    SELECT d.id::text FROM unnest($2, $3) AS d(id, attempt)
    CROSS JOIN LATERAL (SELECT FROM outcomes o WHERE o.id = d.id AND o.attempt = d.attempt AND o.worker = $1 AND o.status <> 'FAILED' OFFSET 0) o
    """,
)

# What a rescue wrote of an attempt is not the attempt's own word. OFFSET 0 keeps the look-up by id: it prunes partitions.
SETTLED_BEFORE = Statement(
    "settled_before",
    "bigint, uuid[], smallint[]",
    """
    SELECT d.id::text FROM unnest($2, $3) AS d(id, attempt)
    CROSS JOIN LATERAL (
        SELECT FROM outcomes o
        WHERE o.id = d.id AND o.attempt = d.attempt AND o.worker = $1 AND o.error_type IS DISTINCT FROM 'worker_lost' OFFSET 0) o
    UNION ALL
    SELECT d.id::text FROM unnest($2, $3) AS d(id, attempt)
    CROSS JOIN LATERAL (
        SELECT FROM attempts a WHERE a.id = d.id AND a.attempt = d.attempt AND a.worker = $1 AND a.error_type <> 'worker_lost' OFFSET 0) a
    """,
)


READ_INPUT = Statement("input_of", "uuid", "SELECT input::text FROM jobs WHERE id = $1")


@dataclass(slots=True)
class LowWaterMarks:
    """Low-water marks of one process at one queue: below them it has nothing left to find."""

    claimable_at: dict[int, str] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, "-infinity"))
    id: dict[int, str] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, NIL_UUID))

    def advance(self, wanted: int, taken: Sequence[tuple[int, str, str]], floor: str) -> None:
        """Move the marks after a claim of `wanted` jobs that took those (priority, pos, id); `floor` is now less the slack.

        A claim that came back short has seen every priority to its end: all marks go to the floor. A full one has seen the
        priorities before its last one to their end, and that one up to the last row taken.
        """
        if len(taken) < wanted:
            seen, last = PRIORITIES.stop, None
        else:
            last = max(taken)
            seen = last[0]
        for priority in range(seen):
            self.claimable_at[priority], self.id[priority] = floor, NIL_UUID
        if last is not None:
            self.claimable_at[seen], self.id[seen] = min((last[1], last[2]), (floor, NIL_UUID))


@dataclass(slots=True)
class Results:
    """Attempts that ended with a result, ready to be settled."""

    ids: list[str] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    results: list[str] = field(default_factory=list)  #: JSON texts
    run_us: list[int] = field(default_factory=list)  #: microseconds in their operations
    cpu_share: float | None = None  #: of that time, that the process had the CPU; None: not measured
    peak_mib: float | None = None  #: most memory that the process had meanwhile; None: not measured
    characters: int = 0  #: of all results

    def add(self, job: ClaimedJob, result: str, run_s: float) -> None:
        """Add one."""
        self.characters += len(result)
        self.ids.append(job.id)
        self.attempts.append(job.attempt)
        self.results.append(result)
        self.run_us.append(int(run_s * 1e6))

    def rows(self) -> Iterator[tuple[ClaimedJob, str, float]]:
        """Yield each, its result and its seconds; of the job only what fences a write."""
        for job_id, attempt, text, run_us in zip(self.ids, self.attempts, self.results, self.run_us, strict=True):
            yield ClaimedJob(job_id, attempt, 0, 1, "", None, None), text, run_us / 1e6

    def arguments(self) -> tuple[str, str, str, str, float | None, float | None]:
        """Return the arguments of a settle, as PostgreSQL reads them."""
        return array_literal(self.ids), array_literal(self.attempts), f"[{','.join(self.results)}]", array_literal(self.run_us), self.cpu_share, self.peak_mib


_PRIORITY_ARRAY = array_literal(PRIORITIES)


def settle_and_claim(
    connection: "WorkerConnection", worker: int, results: Results, queue: str, marks: LowWaterMarks, wanted: int
) -> tuple[int, list[ClaimedJob]]:
    """Store the results and take up to `wanted` jobs of a queue; atomic.

    Returns how many results stood (the others were fenced and changed nothing) and the jobs, first to last. None are taken
    by a worker whose lease has ended.
    """
    rows = connection.run(
        SETTLE_AND_CLAIM,
        (worker, *results.arguments(), queue, _PRIORITY_ARRAY, array_literal(marks.claimable_at.values()), array_literal(marks.id.values()), wanted),
    )
    stood, floor = rows[0][0], rows[0][1]
    if rows[0][2] is None:
        rows = []
    taken = [row[2:5] for row in rows]
    marks.advance(wanted, taken, floor)
    if len(rows) > 1:
        rows.sort(key=_queue_position)
    return stood, [ClaimedJob(r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], claim_extras(r[13])) for r in rows]


def claim_extras(text: str | None) -> ClaimExtras | None:
    """Return what `SPECIAL` gave."""
    return None if text is None else ClaimExtras(**json.loads(text))


def _queue_position(row: tuple[object, ...]) -> tuple[object, ...]:
    return row[2:5]


def settle(connection: "WorkerConnection", worker: int, results: Results) -> set[str]:
    """Store the results, take nothing. Returns the ids that stand: also those that an earlier try of the same attempt stored.

    PostgreSQL cannot tell a client whether a commit whose answer was lost stood; the row of the outcome can.
    """
    if not results.ids:
        return set()
    stood = {row[0] for row in connection.run(SETTLE, (worker, *results.arguments()))}
    if len(stood) < len(results.ids):
        stood |= {row[0] for row in connection.run(SUCCEEDED_BEFORE, (worker, *results.arguments()[:2]))}
    return stood


def read_input(connection: "WorkerConnection", job_id: str) -> str:
    """Return the input of a job, JSON text."""
    return str(connection.run(READ_INPUT, (job_id,))[0][0])


def settled_before(connection: "WorkerConnection", worker: int, ids: Sequence[str], attempts: Sequence[int]) -> set[str]:
    """Return the ids whose attempt by this worker is already written down as ended."""
    return {row[0] for row in connection.run(SETTLED_BEFORE, (worker, array_literal(ids), array_literal(attempts)))}
