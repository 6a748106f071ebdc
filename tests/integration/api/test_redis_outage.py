"""Redis unavailable: submissions are accepted as usual, and run when Redis is available again."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from rig.system import System, until

from tools.servers import Redis

GOOD = b'{"data":[1,2,3],"operation":"square_sum"}'


def test_submissions_are_accepted_without_redis_and_run_after_its_restart(
    make_system: Callable[..., System], database_url: str, own_redis: Redis, post: Callable[..., Any]
) -> None:
    system = make_system(database_url, own_redis.url).all()
    first = system.submit("square_sum", 1, 2, 3)
    assert system.wait(first)["result"] == 14.0
    own_redis.stop()
    responses = [post(system, GOOD) for _ in range(20)] + [post(system, b"[%b,%b]" % (GOOD, GOOD), "/jobs/batch")]
    assert {response.status_code for response in responses} == {202}
    assert max(response.elapsed.total_seconds() for response in responses) < 1
    job_ids = [response.json()["job_id"] for response in responses[:-1]] + responses[-1].json()["job_ids"]
    until("a doorbell has failed", lambda: system.events("api", "ring_failed"))
    own_redis.start()
    system.wait_all()
    assert [system.job(job_id)["result"] for job_id in job_ids] == [14.0] * 22


def test_a_hanging_redis_delays_no_submission(
    make_system: Callable[..., System], database_url: str, own_redis: Redis, post: Callable[..., Any]
) -> None:
    """The connection stays open without replies. The timeout of a doorbell is bounded and blocks no submission."""
    system = make_system(database_url, own_redis.url, JOBPROC_REDIS_TIMEOUT_SECONDS="1").api()
    system.submit("square_sum", 1)
    assert own_redis.process is not None
    os.kill(own_redis.process.pid, signal.SIGSTOP)
    try:
        responses = [post(system, GOOD) for _ in range(10)]
        assert {response.status_code for response in responses} == {202}
        assert max(response.elapsed.total_seconds() for response in responses) < 0.8
        until("the doorbell has timed out", lambda: system.events("api", "ring_failed"), 5)
        assert post(system, GOOD).status_code == 202
    finally:
        os.kill(own_redis.process.pid, signal.SIGCONT)
    failures_before = len(system.events("api", "ring_failed"))
    until(
        "the doorbell rings again",
        lambda: system.submit("square_sum", 1) and own_redis.client.llen("jobproc.default"),
        5,
    )
    assert len(system.events("api", "ring_failed")) <= failures_before + 1


def test_the_api_starts_and_stops_without_redis(
    make_system: Callable[..., System], database_url: str, own_redis: Redis
) -> None:
    own_redis.stop()
    system = make_system(database_url, own_redis.url).api()
    job_id = system.submit("square_sum", 1, 2, 3)
    began = time.monotonic()
    system.end("api")
    assert time.monotonic() - began < 5
    assert system.database.value("SELECT count(*) FROM live WHERE id = %s", (job_id,)) == 1
