"""Deletion of single jobs and inputs by the controller, as seen by clients."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rig.system import System, until

from common.domain.job import new_job_id
from common.store.schema.partitions import DAY_MS, TABLES, Period

FREQUENT = {"JOBPROC_RETENTION_CHECK_SECONDS": "0.2", "JOBPROC_TICK_SECONDS": "0.1"}
_FINISHED_JOB = """
WITH new AS (
    INSERT INTO jobs (id, operation, queue, input, max_attempts)
    VALUES (%(id)s, 'square_sum', 'default', '{"data":[1]}', 3) RETURNING id)
INSERT INTO outcomes (id, run, attempt, released, rev, worker, started_at, finished_at, status, result, error_type)
SELECT id, 0, 1, 0, 2, 1, %(at)s, %(at)s, %(status)s,
       CASE %(status)s WHEN 'SUCCESS' THEN '1'::json END, CASE %(status)s WHEN 'FAILED' THEN 'E' END
FROM new
"""


def _create_day(system: System, days_ago: int) -> Period:
    """Create the partitions of a past day."""
    start = (int(time.time() * 1000) // DAY_MS - days_ago) * DAY_MS
    period = Period(start, start + DAY_MS)
    first, after = period.bounds
    for table in TABLES:
        system.database.rows(f"SELECT create_partition('{table}', '{period.suffix}', '{first}', '{after}')")
    return period


def _retry(system: System, job_id: str, **body: Any) -> tuple[int, str]:
    """Ask for a manual retry; return the status code and the kind of the problem."""
    response = system.client.post(f"/jobs/{job_id}/retry", json=body)
    return response.status_code, str(response.json().get("type", "")).rpartition(":")[2]


def _finished_job(system: System, period: Period, number: int, status: str = "SUCCESS") -> str:
    """Store a job of a past day that ended on that day."""
    job_id = str(new_job_id(period.start + number, number))
    system.database.rows(
        _FINISHED_JOB,
        {"id": job_id, "at": datetime.fromtimestamp(period.start / 1000, UTC) + timedelta(hours=1), "status": status},
    )
    return job_id


def _status_code(system: System, job_id: str) -> int:
    return int(system.client.get(f"/jobs/{job_id}").status_code)


def _submit(system: System, **body: Any) -> str:
    response = system.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum", **body})
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


def test_a_job_with_its_own_retention_is_deleted_after_it_and_others_stay(system: System) -> None:
    system.api().worker(concurrency=1).controller(**FREQUENT)
    brief, long, plain = _submit(system, keep_seconds=2), _submit(system, keep_seconds=3_600), _submit(system)
    waiting = _submit(system, keep_seconds=1, delay_seconds=3_600)
    finished_at = datetime.fromisoformat(system.wait(brief)["finished_at"])
    until("the job is deleted", lambda: _status_code(system, brief) == 404, limit_s=8)
    assert datetime.now(UTC) - finished_at >= timedelta(seconds=2)
    assert system.client.get(f"/jobs/{brief}/result").status_code == 404
    assert [system.wait(job_id)["status"] for job_id in (long, plain)] == ["SUCCESS"] * 2
    assert system.status(waiting) == "SCHEDULED"
    assert system.database.value("SELECT count(*) FROM expiries") == 2


def test_a_repeated_request_does_not_run_a_deleted_job_again(system: System) -> None:
    system.api().worker(concurrency=1).controller(**FREQUENT)
    body, key = {"data": [1, 2, 3], "operation": "square_sum", "keep_seconds": 1}, {"Idempotency-Key": "once"}
    job_id = system.client.post("/jobs/", json=body, headers=key).json()["job_id"]
    until("the job is deleted", lambda: _status_code(system, job_id) == 404, limit_s=8)
    repeated = system.client.post("/jobs/", json=body, headers=key)
    assert repeated.status_code == 404, repeated.text
    assert system.database.value("SELECT count(*) FROM jobs") == 0


def test_failed_jobs_can_have_a_longer_retention(system: System) -> None:
    system.api()
    period = _create_day(system, 5)
    done, failed = _finished_job(system, period, 1), _finished_job(system, period, 2, "FAILED")
    much_older = _create_day(system, 12)
    also_failed = _finished_job(system, much_older, 1, "FAILED")
    system.controller(JOBPROC_RETENTION_DAYS="2", JOBPROC_RETENTION_FAILED_DAYS="9", **FREQUENT)
    until(
        "the jobs past their retention are deleted",
        lambda: _status_code(system, done) == _status_code(system, also_failed) == 404,
        limit_s=8,
    )
    assert system.job(failed)["status"] == "FAILED"


def test_inputs_are_deleted_before_their_jobs_and_responses_show_it(system: System) -> None:
    system.api()
    period = _create_day(system, 4)
    job_id, failed, fresh = (
        _finished_job(system, period, 1),
        _finished_job(system, period, 2, "FAILED"),
        _submit(system),
    )
    etag = system.client.get(f"/jobs/{job_id}").headers["etag"]
    assert system.client.get(f"/jobs/{job_id}", headers={"If-None-Match": etag}).status_code == 304
    before = system.job(job_id)
    assert (before["input"], before["input_removed"], before["result"]) == ({"data": [1]}, False, 1)
    system.controller(JOBPROC_INPUT_RETENTION_DAYS="2", **FREQUENT)
    until(
        "the inputs are deleted",
        lambda: system.job(job_id)["input_removed"] and system.job(failed)["input_removed"],
        limit_s=8,
    )
    assert system.client.get(f"/jobs/{job_id}", headers={"If-None-Match": etag}).status_code == 200, (
        "the response has changed"
    )
    assert system.job(job_id) == before | {"input": None, "input_removed": True}
    assert system.job(fresh)["input"] == {"data": [1, 2, 3]}
    until(
        "the deletion is logged",
        lambda: [event["count"] for event in system.events("controller", "inputs_deleted")] == [2],
    )
    assert _retry(system, failed) == (409, "input-removed")
    assert _retry(system, failed, data=[2]) == (202, "")


@pytest.mark.parametrize("rate", [5, 100])
def test_jobs_are_deleted_no_faster_than_the_setting_allows(system: System, rate: int) -> None:
    system.api()
    system.database.rows(
        """WITH new AS (
               INSERT INTO jobs (id, operation, queue, input, max_attempts, keep_s)
               SELECT uuidv7(), 'noop', 'default', '{}', 3, 1 FROM generate_series(1, 50) RETURNING id),
           done AS (INSERT INTO outcomes (id, run, attempt, released, rev, finished_at, status, result)
               SELECT id, 0, 1, 0, 2, now() - interval '1 minute', 'SUCCESS', '1' FROM new)
           INSERT INTO expiries (id, at) SELECT id, now() FROM new"""
    )
    began = time.monotonic()
    system.controller(JOBPROC_DELETION_JOBS_PER_SECOND=str(rate), JOBPROC_TICK_SECONDS="1")
    until(
        "some jobs are deleted",
        lambda: system.database.value("SELECT count(*) FROM jobs") <= 50 - min(50, 3 * rate),
        limit_s=10,
    )
    deleted = 50 - system.database.value("SELECT count(*) FROM jobs")
    assert deleted <= rate * (time.monotonic() - began + 1)
