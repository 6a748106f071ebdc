"""Waits while Redis or PostgreSQL is away: each gets its answer, late by about a second, none is lost."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from rig.proxy import Proxy
from rig.system import System, until

from tools.servers import Postgres, Redis

MakeSystem = Callable[..., System]
JOB_S = 1.5
LATE_S = 2.5  # a look each second, and a busy machine


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads of clients."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


def _wait(system: System, seconds: float) -> tuple[float, Any]:
    """Submit a job that takes so long, wait for it, and say how much later than that the answer came."""
    began = time.monotonic()
    answer = system.client.post("/jobs/?wait=20", json={"operation": "sleep", "data": [seconds]})
    return time.monotonic() - began - seconds, (answer.status_code, answer.json().get("status"))


def _begin(system: System, threads: ThreadPoolExecutor) -> list[Future[tuple[float, Any]]]:
    waits = [threads.submit(_wait, system, JOB_S) for _ in range(2)]
    until("both run", lambda: system.database.one("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 2)
    return waits


def _told(waits: list[Future[tuple[float, Any]]], late_s: float = LATE_S) -> None:
    for late, answer in [wait.result(30) for wait in waits]:
        assert answer == (200, "SUCCESS")
        assert late < late_s


def _flush(redis: Redis) -> Callable[[], None]:
    redis.client.flushall()
    return lambda: None


def _kill(redis: Redis) -> Callable[[], None]:
    redis.stop(signal.SIGKILL)
    return redis.start


def _hang(redis: Redis) -> Callable[[], None]:
    assert redis.process is not None
    pid = redis.process.pid
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("fault", [_flush, _kill, _hang])
def test_no_wait_is_lost_with_redis(
    make_system: MakeSystem, database_url: str, own_redis: Redis, threads: ThreadPoolExecutor, fault: Callable[[Redis], Callable[[], None]]
) -> None:
    """Waits that have begun before, and those that begin meanwhile; afterwards they are told again."""
    system = make_system(database_url, own_redis.url, JOBPROC_REDIS_TIMEOUT_SECONDS="0.5").all()
    _wait(system, 0)
    waits = _begin(system, threads)
    heal = fault(own_redis)
    try:
        _told(waits)
        _told([threads.submit(_wait, system, 0.2) for _ in range(2)])
    finally:
        heal()
    until("it is told again", lambda: own_redis.client.pubsub_numsub("jobproc:changed")[0][1] or (_wait(system, 0) and False))
    _told([threads.submit(_wait, system, 0.2) for _ in range(4)])


@pytest.mark.parametrize("fault", ["drop", "reset", "swallow"])
def test_a_way_to_redis_that_loses_messages_loses_no_wait(
    make_system: MakeSystem, database_url: str, own_redis: Redis, threads: ThreadPoolExecutor, fault: str
) -> None:
    with Proxy(own_redis.port) as proxy:
        system = make_system(database_url, own_redis.url)
        system.worker().controller().api(REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        _wait(system, 0)
        waits = _begin(system, threads)
        getattr(proxy, fault)()
        _told(waits)
        proxy.heal()
        _told([threads.submit(_wait, system, 0.2) for _ in range(4)])


def test_a_redis_that_hangs_hardly_slows_a_worker(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """Somebody waits, so the end of each job would be told."""
    system = make_system(database_url, own_redis.url).all()
    _wait(system, 0)
    assert own_redis.process is not None
    os.kill(own_redis.process.pid, signal.SIGSTOP)
    try:
        waiter = threading.Thread(target=_wait, args=(system, 3))
        waiter.start()
        took = sorted(_wait(system, 0)[0] for _ in range(5))
        waiter.join()
    finally:
        os.kill(own_redis.process.pid, signal.SIGCONT)
    assert took[2] < LATE_S, "the first one may find the hang, the others know of it"


def test_waits_end_after_postgresql_was_away(make_system: MakeSystem, own_postgres: Postgres, redis_url: str, threads: ThreadPoolExecutor) -> None:
    """Those under way outlast it; one that begins meanwhile is answered with 503 in the time of any read."""
    system = make_system(own_postgres.url(), redis_url, JOBPROC_DATABASE_TIMEOUT_SECONDS="2").all()
    job_id = system.submit("sleep", 3)
    system.wait_status(job_id, "IN_PROGRESS")
    wait = threads.submit(lambda: system.client.get(f"/jobs/{job_id}/result?wait=14"))
    time.sleep(0.3)
    own_postgres.stop(signal.SIGQUIT)
    began = time.monotonic()
    refused = system.client.get(f"/jobs/{job_id}/result?wait=14")
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:jobproc:problem:store-unavailable")
    assert time.monotonic() - began < 4
    own_postgres.start()
    assert wait.result(20).json() == {"job_id": job_id, "status": "SUCCESS", "result": 3.0}
