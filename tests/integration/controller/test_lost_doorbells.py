"""Doorbells by the controller: due jobs are run although their doorbell was lost or never sent."""

import signal
import time
from contextlib import suppress
from datetime import datetime
from itertools import pairwise

import httpx
import psycopg2
import pytest
import redis
from rig.proxy import Proxy
from rig.system import System, until

from common.broker.doorbells import celery_queue


def _doorbells(system: System, queue: str = "default") -> int:
    """Return the number of doorbells in a queue's list."""
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:
        return int(client.llen(celery_queue(queue)))


def _delete_doorbells(system: System) -> None:
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:
        client.flushdb()


def test_a_lost_doorbell_is_sent_again_within_a_tick(system: System) -> None:
    system.api()
    job_id = system.submit("square_sum", 1, 2, 3)
    until("the API has rung", lambda: _doorbells(system))
    _delete_doorbells(system)
    system.controller()
    for _ in range(3):
        until("the controller has rung", lambda: _doorbells(system) == 1, limit_s=2)
        _delete_doorbells(system)
    system.worker(concurrency=1)
    assert system.wait(job_id)["result"] == 14.0
    until("the controller rings no more", lambda: _stays_silent(system), limit_s=5)


def _stays_silent(system: System) -> bool:
    """Return True if no doorbell is sent within three ticks."""
    _delete_doorbells(system)
    time.sleep(0.6)  # the absence of an event has no condition to wait for
    return _doorbells(system) == 0


def test_the_controller_rings_for_no_empty_queue_and_only_once_for_one_with_due_jobs(system: System) -> None:
    system.api().controller()
    assert _stays_silent(system)
    system.submit_many("square_sum", [[n] for n in range(50)])
    until("the queue has a doorbell", lambda: _doorbells(system))
    time.sleep(0.6)  # three ticks without another doorbell
    assert _doorbells(system) == 1


def test_a_retry_is_rung_for_when_it_is_due_and_not_before(system: System) -> None:
    """No other process rings for a retry."""
    system.worker(concurrency=1).api().controller()
    job_id = system.submit("fail_times", 3)
    job = system.wait(job_id, limit_s=10)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 4)
    for before, after in pairwise(job["attempts"]):
        assert before["retry_at"] <= after["started_at"]


@pytest.mark.parametrize("failpoint", ["submit.after_commit", "ring.before_publish"])
def test_a_job_whose_api_was_killed_after_the_commit_runs(system: System, failpoint: str) -> None:
    """The client got no response, or no doorbell was sent: a committed job is accepted and runs."""
    system.worker(concurrency=1).controller()
    system.api(JOBPROC_FAILPOINTS=f"{failpoint}=kill")
    with suppress(httpx.TransportError):  # the API is killed before or during its response
        assert system.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum"}).status_code == 202
    assert system.processes["api"].wait(5) == -signal.SIGKILL
    until("the job has run", lambda: system.database.rows("SELECT status FROM outcomes") == [("SUCCESS",)], limit_s=5)
    assert system.database.value("SELECT count(*) FROM jobs") == 1


def test_a_job_of_an_api_killed_before_the_commit_does_not_exist(system: System, database_url: str) -> None:
    """The client gets no response, and no row is stored."""
    with Proxy.before(database_url) as proxy:
        system.api(DATABASE_URL=proxy.url_of(database_url))
        assert system.client.get("/readyz").status_code == 200
        proxy.hang()
        with pytest.raises(httpx.TransportError):
            system.client.post("/jobs/", json={"data": [1], "operation": "square_sum"}, timeout=0.3)
        system.kill("api")
        system.processes["api"].wait()
        proxy.reset()
    assert system.database.value("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM live)") == 0


def test_a_stray_is_requeued(system: System) -> None:
    """An insert took long to commit, so its row lies below the low-water mark, where no claim scans again."""
    system.worker(concurrency=1).api().controller()
    system.wait(system.submit("noop", 1))
    late = psycopg2.connect(system.database.url)
    with late, late.cursor() as cursor:
        cursor.execute(
            """
            WITH job AS (INSERT INTO jobs (id, operation, queue, input, max_attempts)
                         SELECT overlay(id::text PLACING '0000' FROM 33)::uuid, operation, queue, input, max_attempts
                         FROM jobs LIMIT 1
                         RETURNING id, queue, max_attempts)
            INSERT INTO live (id, queue, max_attempts, claimable_at)
            SELECT id, queue, max_attempts, clock_timestamp() FROM job
            RETURNING id::text, claimable_at
            """
        )
        row = cursor.fetchone()
        assert row is not None
        until("the low-water mark is past the row", lambda: _has_passed(system, row[1]), limit_s=10)
    late.close()
    until("the stray was requeued", lambda: system.events("controller", "stray_jobs_requeued"), limit_s=5)
    assert system.wait(row[0])["status"] == "SUCCESS"


def _has_passed(system: System, position: datetime) -> bool:
    """Run a job; return True if the worker's published low-water mark is past a position in the queue."""
    system.wait(system.submit("noop", 1))
    return bool(
        system.database.value(
            "SELECT max((low_water_marks -> 'default' ->> '5')::timestamptz) > %s FROM workers WHERE ended_at IS NULL",
            (position,),
        )
    )
