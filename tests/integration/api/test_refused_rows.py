"""Group commits with rows that PostgreSQL refuses: their neighbours are repeated once, together."""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

import asyncpg
import pytest
from rig.system import Database

from api.submit.group_commit import GroupCommit
from api.telemetry.metrics import ApiMetrics
from common.domain.job import NewJob, Options, new_job_id
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool

JOBS = 40
#: Records the transaction of each row: that of the commit, also within a savepoint.
RECORD_TRANSACTIONS = """
CREATE TABLE transactions (id xid8);
CREATE FUNCTION record_transaction() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO transactions VALUES (pg_current_xact_id()); RETURN NULL; END $$;
CREATE TRIGGER record AFTER INSERT ON live FOR EACH ROW EXECUTE FUNCTION record_transaction();
"""
REFUSED: dict[str, dict[str, object]] = {
    "a NUL in a tag": {"options": Options(tags=("\x00",))},
    "a NUL in metadata": {"options": Options(metadata='{"a":"\\u0000"}')},
    "a broken constraint": {"priority": 10},
    "an input that is not JSON": {"input": "{"},
}


def new_jobs(count: int = JOBS) -> list[NewJob]:
    """Return jobs that are not stored; every other one has options."""
    now_ms = time.time_ns() // 1_000_000
    return [
        NewJob(
            new_job_id(now_ms, uuid4().int),
            "square_sum",
            "default",
            '{"data":[1]}',
            3,
            None,
            options=Options(tags=("a",)) if number % 2 else None,
        )
        for number in range(count)
    ]


def spoil(jobs: list[NewJob], places: Sequence[int], change: dict[str, object]) -> set[UUID]:
    """Make PostgreSQL refuse the jobs at these places; return their ids."""
    for place in places:
        jobs[place] = dataclasses.replace(jobs[place], **change)  # type: ignore[arg-type]  # invalid on purpose
    return {jobs[place].id for place in places}


def submit_together(settings: Settings, jobs: Sequence[NewJob]) -> tuple[dict[UUID, BaseException | None], int]:
    """Submit the jobs in one group commit. Return the error of each, None if it is stored, and the number of rings."""
    rung: list[int] = []

    async def submitted() -> list[BaseException | None]:
        pool = DatabasePool(settings)
        group_commit = GroupCommit(settings, pool, lambda _queue, count: rung.append(count), ApiMetrics())
        try:
            return await asyncio.gather(*(group_commit.submit(job, job.tenant) for job in jobs), return_exceptions=True)
        finally:
            await pool.close()

    return dict(zip((job.id for job in jobs), asyncio.run(submitted()), strict=True)), sum(rung)


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_the_neighbours_of_a_refused_row_share_one_commit(
    settings: Settings, database_url: str, change: dict[str, object]
) -> None:
    database = Database(database_url)
    database.rows(RECORD_TRANSACTIONS)
    jobs = new_jobs()
    refused = spoil(jobs, [17], change)
    errors, rung = submit_together(settings, jobs)
    assert {job_id for job_id, error in errors.items() if error is not None} == refused
    assert all(isinstance(errors[job_id], asyncpg.PostgresError) for job_id in refused)
    assert {UUID(str(row[0])) for row in database.rows("SELECT id FROM live")} == set(errors) - refused
    assert database.value("SELECT count(*) FROM jobs") == rung == JOBS - 1
    assert database.value("SELECT count(DISTINCT id) FROM transactions") == 1
    database.close()


@pytest.mark.parametrize("places", [range(2), [0, 1, 20, JOBS - 1], range(JOBS)], ids=["two", "four", "all"])
def test_each_refused_row_fails_alone(settings: Settings, database_url: str, places: Sequence[int]) -> None:
    database = Database(database_url)
    database.rows(RECORD_TRANSACTIONS)
    jobs = new_jobs()
    refused = spoil(jobs, places, {"priority": 10})
    errors, rung = submit_together(settings, jobs)
    assert {job_id for job_id, error in errors.items() if error is not None} == refused
    assert {UUID(str(row[0])) for row in database.rows("SELECT id FROM jobs")} == set(errors) - refused
    assert rung == JOBS - len(refused)
    assert database.value("SELECT count(DISTINCT id) FROM transactions") == (0 if len(refused) == JOBS else 1)
    database.close()
