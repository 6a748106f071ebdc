"""Due work is rung for, whatever became of the first ring."""

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


def _rings(system: System, queue: str = "default") -> int:
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:
        return int(client.llen(celery_queue(queue)))


def _silence(system: System) -> None:
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:
        client.flushdb()


def test_a_lost_ring_is_made_up_for_within_a_tick(system: System) -> None:
    system.api()
    job_id = system.submit("square_sum", 1, 2, 3)
    until("the API has rung", lambda: _rings(system))
    _silence(system)
    system.controller()
    for _ in range(3):
        until("the controller has rung", lambda: _rings(system) == 1, limit_s=2)
        _silence(system)
    system.worker(concurrency=1)
    assert system.wait(job_id)["result"] == 14.0
    until("it has noticed", lambda: _quiet(system), limit_s=5)


def _quiet(system: System) -> bool:
    """Tell whether nobody rings for the length of three ticks."""
    _silence(system)
    time.sleep(0.6)  # what must not happen has no condition to wait for
    return _rings(system) == 0


def test_an_empty_queue_is_not_rung_for_and_a_served_one_not_twice(system: System) -> None:
    system.api().controller()
    assert _quiet(system)
    system.submit_many("square_sum", [[n] for n in range(50)])
    until("it has been rung for", lambda: _rings(system))
    time.sleep(0.6)  # three ticks in which it must not be rung for again
    assert _rings(system) == 1


def test_a_retry_is_rung_for_when_its_time_has_come_and_not_before(system: System) -> None:
    """Nothing else would: the worker looks when it is rung for."""
    system.worker(concurrency=1).api().controller()
    job_id = system.submit("fail_times", 3)
    job = system.wait(job_id, limit_s=10)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 4)
    for before, after in pairwise(job["attempts"]):
        assert before["retry_at"] <= after["started_at"]


@pytest.mark.parametrize("place", ["submit.after_commit", "ring.before_publish"])
def test_a_job_whose_api_was_killed_after_the_commit_runs(system: System, place: str) -> None:
    """The client saw no answer, or nobody rang: accepted is what is committed."""
    system.worker(concurrency=1).controller()
    system.api(JOBPROC_FAILPOINTS=f"{place}=kill")
    with suppress(httpx.TransportError):  # it dies before, or while, it answers
        assert system.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum"}).status_code == 202
    assert system.processes["api"].wait(5) == -signal.SIGKILL
    until("the job has run", lambda: system.database.rows("SELECT status FROM outcomes") == [("SUCCESS",)], limit_s=5)
    assert system.database.one("SELECT count(*) FROM jobs") == 1


def test_a_job_of_an_api_killed_before_the_commit_does_not_exist(system: System, database_url: str) -> None:
    """Its answer never came, and nothing is half stored."""
    parts = psycopg2.extensions.parse_dsn(database_url)
    with Proxy(parts["port"]) as proxy:
        system.api(DATABASE_URL=f"postgresql://{parts['user']}@127.0.0.1:{proxy.port}/{parts['dbname']}")
        assert system.client.get("/readyz").status_code == 200
        proxy.hang()
        with pytest.raises(httpx.TransportError):
            system.client.post("/jobs/", json={"data": [1], "operation": "square_sum"}, timeout=0.3)
        system.kill("api")
        system.processes["api"].wait()
        proxy.reset()
    assert system.database.one("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM live)") == 0


def test_jobs_that_every_worker_has_passed_by_are_floated(system: System) -> None:
    """An insert that took long to commit: its row lies below the low water, where no claim looks again."""
    system.worker(concurrency=1).api().controller()
    system.wait(system.submit("noop", 1))
    late = psycopg2.connect(system.database.url)
    with late, late.cursor() as cursor:
        cursor.execute(
            """
            WITH job AS (INSERT INTO jobs (id, operation, queue, input, max_attempts)
                         SELECT overlay(id::text PLACING '0000' FROM 33)::uuid, operation, queue, input, max_attempts FROM jobs LIMIT 1
                         RETURNING id, queue, max_attempts)
            INSERT INTO live (id, queue, max_attempts, pos) SELECT id, queue, max_attempts, clock_timestamp() FROM job RETURNING id::text, pos
            """
        )
        row = cursor.fetchone()
        assert row is not None
        until("the marks have gone past it", lambda: _passed(system, row[1]), limit_s=10)
    late.close()
    until("it was floated", lambda: system.events("controller", "strays_floated"), limit_s=5)
    assert system.wait(row[0])["status"] == "SUCCESS"


def _passed(system: System, pos: datetime) -> bool:
    """Let the worker go on; tell whether its published mark is past a place in the queue."""
    system.wait(system.submit("noop", 1))
    return bool(system.database.one("SELECT max((low -> 'default' ->> '5')::timestamptz) > %s FROM workers WHERE ended_at IS NULL", (pos,)))
