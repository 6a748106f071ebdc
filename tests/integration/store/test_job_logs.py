"""Log lines of attempts: stored in chunks, trimmed to the last ones, read in pages, deleted with their job."""

import json
from uuid import UUID, uuid4

import pytest
from integration.store.support.past_jobs import PastDay, delete_expired
from integration.store.support.plan_database import FILLED, PlanDatabase
from integration.store.support.query_plans import explain
from integration.store.support.storage import Storage

from common.domain.job import first_job_id
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal
from common.store.jobs import job_logs
from common.store.jobs.job_logs import MAX_CHUNKS, LogChunk, LogPage, LogPosition
from common.store.schema.partitions import TABLES

LIMIT = 10_000
CHUNK_BYTES = 100


def chunk(job_id: str, last_line: int, attempt: int = 1, run: int = 0) -> LogChunk:
    """Return a chunk of two lines, which counts as CHUNK_BYTES bytes."""
    lines = json.dumps([{"line": number, "message": f"line {number}"} for number in (last_line - 1, last_line)])
    return LogChunk(job_id, run, attempt, last_line, CHUNK_BYTES * last_line // 2, lines)


def read(storage: Storage, job_id: str, after: LogPosition, attempt: int | None = None) -> LogPage:
    page = storage.api(lambda connection: job_logs.page(connection, 1, UUID(job_id), after, attempt, 1.0))
    assert page is not None
    return page


def lines(page: LogPage, after: LogPosition) -> list[tuple[int, int]]:
    return [(line["attempt"], line["line"]) for line in page.lines_after(after)]


def test_lines_are_read_behind_a_position_by_run_and_attempt(storage: Storage) -> None:
    (job_id,) = storage.submit()
    start = LogPosition(None)
    assert lines(read(storage, job_id, start), start) == []
    connection = storage.connection()
    job_logs.store(connection, [chunk(job_id, 2), chunk(job_id, 4), chunk(job_id, 2, attempt=2)], LIMIT)
    job_logs.store(connection, [chunk(job_id, 2, run=1)], LIMIT)
    page = read(storage, job_id, start)
    assert (page.status, page.newest_run, page.run, page.is_complete, page.has_more) == ("PENDING", 0, 0, False, False)
    assert lines(page, start) == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)]
    within = LogPosition(0, 1, 3)
    assert lines(read(storage, job_id, within), within) == [(1, 4), (2, 1), (2, 2)]
    assert lines(read(storage, job_id, within, attempt=1), within) == [(1, 4)]
    assert lines(read(storage, job_id, start, attempt=2), start) == [(2, 1), (2, 2)]
    assert lines(read(storage, job_id, LogPosition(1)), start) == [(1, 1), (1, 2)]
    assert storage.api(lambda connection: job_logs.page(connection, 1, uuid4(), start, None, 1.0)) is None


def test_a_page_is_bounded_and_the_next_one_continues(storage: Storage) -> None:
    (job_id,) = storage.submit()
    job_logs.store(storage.connection(), [chunk(job_id, 2 * n) for n in range(1, MAX_CHUNKS + 3)], LIMIT)
    position, seen = LogPosition(None), list[tuple[int, int]]()
    while True:
        page = read(storage, job_id, position)
        seen += lines(page, position)
        position = page.position_behind(page.lines_after(position), position)
        if not page.has_more:
            break
    assert seen == [(1, number) for number in range(1, 2 * MAX_CHUNKS + 5)]


def test_only_the_last_bytes_of_each_attempt_stay(storage: Storage) -> None:
    job_id, other = storage.submit(2)
    connection = storage.connection()
    for number in range(1, 31):
        job_logs.store(connection, [chunk(job_id, 2 * number), chunk(other, 2)], 5 * CHUNK_BYTES)
    assert storage.rows("SELECT last_line FROM job_logs WHERE id = %s ORDER BY 1", (job_id,)) == [
        (number,) for number in range(52, 61, 2)
    ]
    assert storage.value("SELECT count(*) FROM job_logs WHERE id = %s", (other,)) == 1


def test_a_repeated_store_changes_nothing_and_lines_of_a_deleted_job_are_left_out(storage: Storage) -> None:
    job_id, gone = storage.submit(2)
    storage.rows("DELETE FROM jobs WHERE id = %s", (gone,))
    nobodys = str(first_job_id(0))  # of a day without a partition
    for _ in range(2):
        job_logs.store(storage.connection(), [chunk(gone, 2), chunk(job_id, 2), chunk(nobodys, 2)], LIMIT)
    assert storage.rows("SELECT id::text, last_line FROM job_logs") == [(job_id, 2)]


def test_lines_of_a_lost_attempt_stand_beside_those_of_the_next_one(storage: Storage) -> None:
    (job_id,) = storage.submit()
    connection = storage.connection()
    job_logs.store(connection, [chunk(job_id, 2, attempt=2)], LIMIT)
    job_logs.store(connection, [chunk(job_id, 2, attempt=1)], LIMIT)
    start = LogPosition(None)
    assert lines(read(storage, job_id, start), start) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_lines_go_with_their_job_by_partition_and_by_row(past: PastDay, connection: WorkerConnection) -> None:
    assert "job_logs" in TABLES
    by_partition, by_row, kept = (
        past.finished()[0],
        past.finished(keep_s=3_600)[0],
        past.waiting()[0],
    )
    job_logs.store(past.storage.connection(), [chunk(job_id, 2) for job_id in (by_partition, by_row, kept)], LIMIT)
    assert past.clear_and_commit() == 2
    assert {row[0] for row in past.storage.rows("SELECT id::text FROM job_logs")} == {by_row, kept}
    past.storage.rows("UPDATE expiries SET at = now()")
    assert delete_expired(connection, past.storage)[1] == 1
    assert past.storage.rows("SELECT id::text FROM job_logs") == [(kept,)]


def test_a_job_is_complete_only_when_its_last_lines_must_be_stored(storage: Storage) -> None:
    (job_id,) = storage.submit()
    claimer = storage.claimer()
    claimer.settle(claimer.claim())
    page = storage.api(lambda connection: job_logs.page(connection, 1, UUID(job_id), LogPosition(None), None, 60.0))
    assert page is not None
    assert (page.status, page.is_complete) == ("SUCCESS", False)
    storage.rows("UPDATE outcomes SET finished_at = finished_at - interval '1 minute'")
    assert read(storage, job_id, LogPosition(None)).is_complete


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "-1.1.1", "1.1.9999999999", "40000.1.1", "a.b.c", "\u0661.1.1"]
)
def test_a_malformed_position_is_refused(text: str) -> None:
    assert LogPosition.parse(text) is None


@pytest.mark.parametrize("plan_database", FILLED, indirect=True)
def test_pages_and_stores_touch_one_partition_of_each_table(plan_database: PlanDatabase) -> None:
    job_id, today = plan_database.storage.rows("SELECT id::text, right(tableoid::regclass::text, 8) FROM jobs LIMIT 1")[
        0
    ]
    stored = chunk(job_id, 2)
    page = Statement("page", "int, uuid, int, int, int, int, float8", job_logs._PAGE)
    of_chunk = (job_id, stored.run, stored.attempt, stored.last_line, stored.total_bytes)
    for statement, arguments in (
        (page, (1, job_id, None, 0, 0, 32_767, 1.0)),
        (job_logs.STORE, (*(array_literal([value]) for value in of_chunk), f"[{stored.lines}]")),
        (job_logs.TRIM, (job_id, 0, 1, 100)),
    ):
        plan = explain(plan_database.storage.connection(), statement, arguments)
        touched = {table: plan.partitions(table) - {f"{table}_{today}"} for table in ("jobs", "job_logs", "outcomes")}
        assert touched == {"jobs": set(), "job_logs": set(), "outcomes": set()}, str(plan)
        assert plan.buffers <= 60, str(plan)
