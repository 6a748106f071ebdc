"""Jobs and inputs that the controller removes one by one, as clients see it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rig.system import System, until

from common.domain.job import new_job_id
from common.store.schema.partitions import DAY_MS, TABLES, Period

OFTEN = {"JOBPROC_RETENTION_CHECK_SECONDS": "0.2", "JOBPROC_TICK_SECONDS": "0.1"}
_OLD = """
WITH new AS (
    INSERT INTO jobs (id, operation, queue, input, max_attempts) VALUES (%(id)s, 'square_sum', 'default', '{"data":[1]}', 3) RETURNING id)
INSERT INTO outcomes (id, epoch, attempt, released, rev, worker, started_at, finished_at, status, result, error_type)
SELECT id, 0, 1, 0, 2, 1, %(at)s, %(at)s, %(status)s, CASE %(status)s WHEN 'SUCCESS' THEN '1'::json END, CASE %(status)s WHEN 'FAILED' THEN 'E' END FROM new
"""


def day(system: System, days_ago: int) -> Period:
    """Make the partitions of a past day."""
    start = (int(time.time() * 1000) // DAY_MS - days_ago) * DAY_MS
    period = Period(start, start + DAY_MS)
    first, after = period.bounds
    for table in TABLES:
        system.database.rows(f"CREATE TABLE {table}_{period.suffix} PARTITION OF {table} FOR VALUES FROM ('{first}') TO ('{after}')")
    return period


def retried(system: System, job_id: str, **body: Any) -> tuple[int, str]:
    answer = system.client.post(f"/jobs/{job_id}/retry", json=body)
    return answer.status_code, str(answer.json().get("type", "")).rpartition(":")[2]


def old(system: System, period: Period, number: int, status: str = "SUCCESS") -> str:
    """Store a job of a past day that ended then."""
    job_id = str(new_job_id(period.start + number, number))
    system.database.rows(_OLD, {"id": job_id, "at": datetime.fromtimestamp(period.start / 1000, UTC) + timedelta(hours=1), "status": status})
    return job_id


def code(system: System, job_id: str) -> int:
    return int(system.client.get(f"/jobs/{job_id}").status_code)


def submitted(system: System, **body: Any) -> str:
    answer = system.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum", **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def test_a_job_that_is_kept_for_a_time_of_its_own_goes_then_and_others_stay(system: System) -> None:
    system.api().worker(concurrency=1).controller(**OFTEN)
    brief, long, plain = submitted(system, keep=2), submitted(system, keep=3_600), submitted(system)
    waiting = submitted(system, keep=1, delay=3_600)
    ended = datetime.fromisoformat(system.wait(brief)["finished_at"])
    until("it is gone", lambda: code(system, brief) == 404, limit_s=8)
    assert datetime.now(UTC) - ended >= timedelta(seconds=2)
    assert system.client.get(f"/jobs/{brief}/result").status_code == 404
    assert [system.wait(job)["status"] for job in (long, plain)] == ["SUCCESS"] * 2
    assert system.status(waiting) == "SCHEDULED"
    assert system.database.one("SELECT count(*) FROM expiries") == 2


def test_a_request_that_is_repeated_after_its_job_has_gone_does_not_run_it_again(system: System) -> None:
    system.api().worker(concurrency=1).controller(**OFTEN)
    body, key = {"data": [1, 2, 3], "operation": "square_sum", "keep": 1}, {"Idempotency-Key": "once"}
    job_id = system.client.post("/jobs/", json=body, headers=key).json()["job_id"]
    until("it is gone", lambda: code(system, job_id) == 404, limit_s=8)
    again = system.client.post("/jobs/", json=body, headers=key)
    assert again.status_code == 404, again.text
    assert system.database.one("SELECT count(*) FROM jobs") == 0


def test_failed_jobs_are_kept_for_longer_where_the_operator_says_so(system: System) -> None:
    system.api()
    period = day(system, 5)
    done, failed = old(system, period, 1), old(system, period, 2, "FAILED")
    much_older = day(system, 12)
    also_failed = old(system, much_older, 1, "FAILED")
    system.controller(JOBPROC_RETENTION_DAYS="2", JOBPROC_RETENTION_FAILED_DAYS="9", **OFTEN)
    until("those past their time are gone", lambda: code(system, done) == code(system, also_failed) == 404, limit_s=8)
    assert system.job(failed)["status"] == "FAILED"


def test_inputs_go_before_their_jobs_and_the_answer_says_so(system: System) -> None:
    system.api()
    period = day(system, 4)
    job_id, failed, fresh = old(system, period, 1), old(system, period, 2, "FAILED"), submitted(system)
    tag = system.client.get(f"/jobs/{job_id}").headers["etag"]
    assert system.client.get(f"/jobs/{job_id}", headers={"If-None-Match": tag}).status_code == 304
    before = system.job(job_id)
    assert (before["input"], before["input_removed"], before["result"]) == ({"data": [1]}, False, 1)
    system.controller(JOBPROC_PAYLOAD_DAYS="2", **OFTEN)
    until("inputs have gone", lambda: system.job(job_id)["input_removed"] and system.job(failed)["input_removed"], limit_s=8)
    assert system.client.get(f"/jobs/{job_id}", headers={"If-None-Match": tag}).status_code == 200, "it is another answer"
    assert system.job(job_id) == before | {"input": None, "input_removed": True}
    assert system.job(fresh)["input"] == {"data": [1, 2, 3]}
    until("it is said", lambda: [one["count"] for one in system.events("controller", "inputs_removed")] == [2])
    assert retried(system, failed) == (409, "input-removed")
    assert retried(system, failed, data=[2]) == (202, "")


@pytest.mark.parametrize("rate", [5, 100])
def test_no_more_go_one_by_one_in_a_second_than_the_setting_says(system: System, rate: int) -> None:
    system.api()
    system.database.rows(
        """WITH new AS (
               INSERT INTO jobs (id, operation, queue, input, max_attempts, keep_s)
               SELECT uuidv7(), 'noop', 'default', '{}', 3, 1 FROM generate_series(1, 50) RETURNING id),
           done AS (INSERT INTO outcomes (id, epoch, attempt, released, rev, finished_at, status, result)
               SELECT id, 0, 1, 0, 2, now() - interval '1 minute', 'SUCCESS', '1' FROM new)
           INSERT INTO expiries (id, at) SELECT id, now() FROM new"""
    )
    began = time.monotonic()
    system.controller(JOBPROC_REMOVAL_JOBS_PER_SECOND=str(rate), JOBPROC_TICK_SECONDS="1")
    until("a part has gone", lambda: system.database.one("SELECT count(*) FROM jobs") <= 50 - min(50, 3 * rate), limit_s=10)
    gone = 50 - system.database.one("SELECT count(*) FROM jobs")
    assert gone <= rate * (time.monotonic() - began + 1)
