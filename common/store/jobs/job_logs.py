"""Log lines of attempts: stored by workers in chunks of a few kilobytes, read by the API in pages.

A line belongs to a job, run and attempt, so what a lost attempt still says stands beside the newer attempt's lines.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from common.store.connection.caller import for_caller
from common.store.connection.statement import Statement, array_literal

if TYPE_CHECKING:  # each process has the driver of its part alone
    import asyncpg

    from common.store.connection.psycopg2_session import WorkerConnection

MAX_CHUNKS = 32  # in a page: about a quarter of a megabyte
MAX_ATTEMPT = 32_767
POSITION_PATTERN = r"\d{1,5}\.\d{1,5}\.\d{1,10}"  # run, attempt, line
_POSITION = re.compile(POSITION_PATTERN, re.ASCII)

# Lines of a job that retention has deleted are left out: nothing would delete them before their partition. A repeat
# after a lost answer changes nothing.
STORE = Statement(
    "store_job_logs",
    "uuid[], smallint[], smallint[], integer[], bigint[], json",
    """
    WITH stored AS (
        INSERT INTO job_logs (id, run, attempt, last_line, total_bytes, lines, tenant)
        SELECT d.*, j.tenant
        FROM ROWS FROM (unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), json_array_elements($6))
            AS d(id, run, attempt, last_line, total_bytes, lines)
        CROSS JOIN LATERAL (SELECT tenant FROM jobs WHERE jobs.id = d.id OFFSET 0) j
        ON CONFLICT DO NOTHING)
    SELECT 1
    """,
)
TRIM = Statement(
    "trim_job_log",
    "uuid, smallint, smallint, bigint",
    """
    WITH trimmed AS (DELETE FROM job_logs WHERE id = $1 AND run = $2 AND attempt = $3 AND total_bytes <= $4)
    SELECT 1
    """,
)
# OFFSET 0 keeps the look-up by id, which prunes partitions.
_PAGE = for_caller(
    f"""
SELECT s.status, s.newest_run, s.run, s.is_complete, l.attempt, l.lines::text
FROM (SELECT status, run AS newest_run, coalesce($3::int, run) AS run,
             coalesce(finished_at <= clock_timestamp() - $7::float8 * interval '1 s', false) AS is_complete
      FROM job_states WHERE id = $2 AND tenant = $1) s
LEFT JOIN LATERAL (
    SELECT attempt, lines FROM job_logs
    WHERE id = $2 AND run = s.run AND (attempt, last_line) > ($4, $5) AND attempt <= $6
    ORDER BY attempt, last_line LIMIT {MAX_CHUNKS} OFFSET 0) l ON true
""",
    "ARRAY[$1::int]",
)


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Some consecutive lines of an attempt."""

    job_id: str
    run: int
    attempt: int
    last_line: int  #: the number of the last of these lines; the first line of the attempt is 1
    total_bytes: int  #: of all lines of the attempt up to the last of these
    lines: str  #: a JSON array of objects


def store(connection: "WorkerConnection", chunks: Sequence[LogChunk], limit_bytes: int) -> None:
    """Store chunks, and delete those of the same attempts that are no longer among the last `limit_bytes`.

    Can be repeated.
    """
    connection.run(
        STORE,
        (
            array_literal(chunk.job_id for chunk in chunks),
            array_literal(chunk.run for chunk in chunks),
            array_literal(chunk.attempt for chunk in chunks),
            array_literal(chunk.last_line for chunk in chunks),
            array_literal(chunk.total_bytes for chunk in chunks),
            f"[{','.join(chunk.lines for chunk in chunks)}]",
        ),
    )
    newest = {(chunk.job_id, chunk.run, chunk.attempt): chunk.total_bytes for chunk in chunks}
    for attempt, total_bytes in newest.items():
        if total_bytes > limit_bytes:
            connection.run(TRIM, (*attempt, total_bytes - limit_bytes))


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A position in the lines of a run: behind this line."""

    run: int | None  #: None: the newest run
    attempt: int = 0
    line: int = 0

    @staticmethod
    def parse(text: str) -> "LogPosition | None":
        """Return the position that a text names, None if it is malformed."""
        if not _POSITION.fullmatch(text):
            return None
        run, attempt, line = map(int, text.split("."))
        return LogPosition(run, attempt, line) if max(run, attempt) <= MAX_ATTEMPT and line < 2**31 else None

    @property
    def text(self) -> str:
        """The position as a text, of a run that is known."""
        return f"{self.run}.{self.attempt}.{self.line}"


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines of a run, in their order, and the state of their job."""

    status: str
    newest_run: int
    run: int
    is_complete: bool  #: no line will follow, because the job ended long enough ago
    chunks: Sequence[tuple[int, str]]  #: attempts, each with a JSON array of lines; some may be before the position
    has_more: bool  #: there may be more chunks

    def lines_after(self, position: LogPosition) -> list[dict[str, Any]]:
        """Return the lines behind a position, each with its attempt and its number (`line`)."""
        return [
            {"attempt": attempt, "exception": None, **line}
            for attempt, chunk in self.chunks
            for line in orjson.loads(chunk)
            if (attempt, line["line"]) > (position.attempt, position.line)
        ]

    def position_behind(self, lines: Sequence[Mapping[str, Any]], start: LogPosition) -> LogPosition:
        """Return the position behind these lines; without lines, the one where they would start."""
        if not lines:
            return LogPosition(self.run, start.attempt, start.line)
        return LogPosition(self.run, lines[-1]["attempt"], lines[-1]["line"])


async def page(
    connection: "asyncpg.Connection",
    tenant: int,
    job_id: UUID,
    after: LogPosition,
    attempt: int | None,
    delay_s: float,
) -> LogPage | None:
    """Return the next lines of a run of a tenant's job after a position; None for an unknown id.

    `attempt` None: of all attempts. `delay_s`: seconds after the end of a job within which its last lines are stored.
    """
    first, line = (attempt, 0) if attempt is not None and after.attempt < attempt else (after.attempt, after.line)
    last = MAX_ATTEMPT if attempt is None else attempt
    rows = await connection.fetch(_PAGE, tenant, job_id, after.run, first, line, last, delay_s)
    if not rows:
        return None
    chunks = [(row[4], row[5]) for row in rows if row[4] is not None]
    status, newest_run, run, is_complete = tuple(rows[0])[:4]
    return LogPage(status, newest_run, run, is_complete, chunks, len(rows) == MAX_CHUNKS)
