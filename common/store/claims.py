"""Claim and settle: the two statements that every job goes through, as one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from common.domain.job import PRIORITIES, Claimed
from common.store.session import Hot, Statement

NIL = "00000000-0000-0000-0000-000000000000"
# A mark is never later than this before now: an insert that took longer than that to commit is a stray, which the
# controller floats. Half a second is a hundred commits.
SLACK = "interval '0.5 s'"

# Rows are locked in the order of their ids, so that two settles of overlapping batches cannot deadlock. An id that does not
# come back was fenced: another attempt or another worker owns the row, or it is gone.
_SETTLE = """
mine AS MATERIALIZED (
    SELECT l.id, l.epoch, l.attempt, l.released, l.rev, l.started_at, d.result
    FROM ROWS FROM (unnest($2), unnest($3), json_array_elements($4)) AS d(id, attempt, result)
    JOIN live l ON l.id = d.id
    WHERE l.attempt = d.attempt AND l.worker = $1
    ORDER BY l.id FOR UPDATE OF l),
gone AS (
    DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine))),
done AS (
    INSERT INTO outcomes (id, epoch, attempt, released, rev, worker, started_at, status, result)
    SELECT id, epoch, attempt, released, rev + 1, $1, started_at, 'SUCCESS', result FROM mine
    RETURNING id)
"""

# One index scan a priority, from its low-water mark on: dead entries left of it are never walked. MATERIALIZED matters: a
# sub-select with LIMIT that is run again takes more than n.
_CLAIM = f"""
pick AS MATERIALIZED (
    SELECT one.id
    FROM ROWS FROM (unnest($6), unnest($7), unnest($8)) AS mark(priority, pos, id)
    CROSS JOIN LATERAL (
        SELECT l.id FROM live l
        WHERE l.queue = $5 AND l.priority = mark.priority AND l.worker IS NULL
          AND (l.pos, l.id) > (mark.pos, mark.id) AND l.pos <= now()
        ORDER BY l.pos, l.id LIMIT $9 FOR UPDATE SKIP LOCKED) one
    LIMIT $9),
taken AS (
    UPDATE live l
    SET worker = $1, attempt = attempt + 1, rev = rev + 1, started_at = clock_timestamp(), progress = NULL, progress_text = NULL
    WHERE l.id = ANY (ARRAY(SELECT id FROM pick))
      AND EXISTS (SELECT FROM workers w WHERE w.id = $1 AND w.ended_at IS NULL AND w.alive_until > clock_timestamp())
    RETURNING l.id, l.attempt, l.released, l.max_attempts, l.priority, l.pos, l.started_at)
SELECT (SELECT count(*) FROM done), (now() - {SLACK})::text, t.priority, t.pos::text, t.id::text,
       t.attempt, t.released, t.max_attempts, j.operation, j.input::text, j.timeout_ms, j.trace,
       date_part('epoch', t.started_at - t.pos)
FROM (VALUES (1)) AS always(one)
LEFT JOIN (taken t JOIN jobs j ON j.id = t.id) ON true
"""

SETTLE_AND_CLAIM = Statement(
    "settle_and_claim",
    "bigint, uuid[], smallint[], json, text, smallint[], timestamptz[], uuid[], bigint",
    f"WITH {_SETTLE}, {_CLAIM}",
)

SETTLE = Statement("settle", "bigint, uuid[], smallint[], json", f"WITH {_SETTLE} SELECT id::text FROM done")

SUCCEEDED_BEFORE = Statement(
    "succeeded_before",
    "bigint, uuid[], smallint[]",
    """
    SELECT d.id::text FROM unnest($2, $3) AS d(id, attempt)
    CROSS JOIN LATERAL (SELECT FROM outcomes o WHERE o.id = d.id AND o.attempt = d.attempt AND o.worker = $1 AND o.status = 'SUCCESS' OFFSET 0) o
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
        SELECT FROM attempts a WHERE a.id = d.id AND a.attempt = d.attempt AND a.worker = $1 AND a.ended <> 'lost' OFFSET 0) a
    """,
)


@dataclass(slots=True)
class Marks:
    """Low-water marks of one process at one queue: below them it has nothing left to find."""

    pos: dict[int, str] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, "-infinity"))
    id: dict[int, str] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, NIL))

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
            self.pos[priority], self.id[priority] = floor, NIL
        if last is not None:
            self.pos[seen], self.id[seen] = min((last[1], last[2]), (floor, NIL))


@dataclass(slots=True)
class Results:
    """Attempts that ended with a result, ready to be settled."""

    ids: list[str] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    results: list[str] = field(default_factory=list)  #: JSON texts
    characters: int = 0  #: of all results

    def add(self, job: Claimed, result: str) -> None:
        """Add one."""
        self.characters += len(result)
        self.ids.append(job.id)
        self.attempts.append(job.attempt)
        self.results.append(result)

    def arguments(self) -> tuple[str, str, str]:
        """Return the three arguments of a settle, as PostgreSQL reads them."""
        return _array(self.ids), _array(self.attempts), f"[{','.join(self.results)}]"


def _array(values: Iterable[object]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


_PRIORITY_ARRAY = _array(PRIORITIES)


def settle_and_claim(hot: Hot, worker: int, results: Results, queue: str, marks: Marks, wanted: int) -> tuple[int, list[Claimed]]:
    """Store the results and take up to `wanted` jobs of a queue; atomic.

    Returns how many results stood (the others were fenced and changed nothing) and the jobs, first to last. None are taken
    by a worker whose lease has ended.
    """
    rows = hot.run(
        SETTLE_AND_CLAIM,
        (worker, *results.arguments(), queue, _PRIORITY_ARRAY, _array(marks.pos.values()), _array(marks.id.values()), wanted),
    )
    stood, floor = rows[0][0], rows[0][1]
    if rows[0][2] is None:
        rows = []
    taken = [row[2:5] for row in rows]
    marks.advance(wanted, taken, floor)
    if len(rows) > 1:
        rows.sort(key=_place)
    return stood, [Claimed(r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12]) for r in rows]


def _place(row: tuple[object, ...]) -> tuple[object, ...]:
    return row[2:5]


def settle(hot: Hot, worker: int, results: Results) -> set[str]:
    """Store the results, take nothing. Returns the ids that stand: also those that an earlier try of the same attempt stored.

    PostgreSQL cannot tell a client whether a commit whose answer was lost stood; the row of the outcome can.
    """
    if not results.ids:
        return set()
    stood = {row[0] for row in hot.run(SETTLE, (worker, *results.arguments()))}
    if len(stood) < len(results.ids):
        stood |= {row[0] for row in hot.run(SUCCEEDED_BEFORE, (worker, *results.arguments()[:2]))}
    return stood


def settled_before(hot: Hot, worker: int, ids: Sequence[str], attempts: Sequence[int]) -> set[str]:
    """Return the ids whose attempt by this worker is already written down as ended."""
    return {row[0] for row in hot.run(SETTLED_BEFORE, (worker, _array(ids), _array(attempts)))}
