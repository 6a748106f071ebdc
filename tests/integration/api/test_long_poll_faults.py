"""Long polls while Redis or PostgreSQL is unavailable: each gets its response, at most about a second late."""

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
MAX_DELAY_S = 2.5  # a poll each second; the rest is for a busy machine


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Return a pool of client threads."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


def _submit_and_wait(system: System, seconds: float) -> tuple[float, Any]:
    """Submit a job of `seconds` with a long poll; return the delay of the response, its status and the job's."""
    began = time.monotonic()
    response = system.client.post("/jobs/?wait=20", json={"operation": "sleep", "data": [seconds]})
    return time.monotonic() - began - seconds, (response.status_code, response.json().get("status"))


def _start_waits(system: System, threads: ThreadPoolExecutor) -> list[Future[tuple[float, Any]]]:
    waits = [threads.submit(_submit_and_wait, system, JOB_S) for _ in range(2)]
    until("both jobs run", lambda: system.database.value("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 2)
    return waits


def _assert_answered(waits: list[Future[tuple[float, Any]]], max_delay_s: float = MAX_DELAY_S) -> None:
    for delay_s, response in [wait.result(30) for wait in waits]:
        assert response == (200, "SUCCESS")
        assert delay_s < max_delay_s


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
def test_a_redis_fault_loses_no_long_poll(
    make_system: MakeSystem,
    database_url: str,
    own_redis: Redis,
    threads: ThreadPoolExecutor,
    fault: Callable[[Redis], Callable[[], None]],
) -> None:
    """Long polls that begin before or during the fault get their responses; later ones are notified again."""
    system = make_system(database_url, own_redis.url, JOBPROC_REDIS_TIMEOUT_SECONDS="0.5").all()
    _submit_and_wait(system, 0)
    waits = _start_waits(system, threads)
    heal = fault(own_redis)
    try:
        _assert_answered(waits)
        _assert_answered([threads.submit(_submit_and_wait, system, 0.2) for _ in range(2)])
    finally:
        heal()
    until(
        "the API has subscribed again",
        lambda: own_redis.client.pubsub_numsub("jobproc:changed")[0][1] or (_submit_and_wait(system, 0) and False),
    )
    _assert_answered([threads.submit(_submit_and_wait, system, 0.2) for _ in range(4)])


@pytest.mark.parametrize("fault", ["drop", "reset", "swallow"])
def test_a_network_that_loses_messages_of_redis_loses_no_long_poll(
    make_system: MakeSystem, database_url: str, own_redis: Redis, threads: ThreadPoolExecutor, fault: str
) -> None:
    with Proxy(own_redis.port) as proxy:
        system = make_system(database_url, own_redis.url)
        system.worker().controller().api(REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        _submit_and_wait(system, 0)
        waits = _start_waits(system, threads)
        getattr(proxy, fault)()
        _assert_answered(waits)
        proxy.heal()
        _assert_answered([threads.submit(_submit_and_wait, system, 0.2) for _ in range(4)])


def test_a_hanging_redis_hardly_slows_a_worker(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """A client waits, so the worker publishes the end of each job."""
    system = make_system(database_url, own_redis.url).all()
    _submit_and_wait(system, 0)
    assert own_redis.process is not None
    os.kill(own_redis.process.pid, signal.SIGSTOP)
    try:
        waiter = threading.Thread(target=_submit_and_wait, args=(system, 3))
        waiter.start()
        delays_s = sorted(_submit_and_wait(system, 0)[0] for _ in range(5))
        waiter.join()
    finally:
        os.kill(own_redis.process.pid, signal.SIGCONT)
    assert delays_s[2] < MAX_DELAY_S, (
        "only the first job may wait for a timeout; then the worker pauses its change notifications"
    )


def test_long_polls_survive_a_restart_of_postgresql(
    make_system: MakeSystem, own_postgres: Postgres, redis_url: str, threads: ThreadPoolExecutor
) -> None:
    """Open long polls survive it; one that begins during the outage gets 503 within the timeout of a read."""
    system = make_system(own_postgres.url(), redis_url, JOBPROC_DATABASE_TIMEOUT_SECONDS="2").all()
    job_id = system.submit("sleep", 3)
    system.wait_status(job_id, "IN_PROGRESS")
    wait = threads.submit(lambda: system.client.get(f"/jobs/{job_id}/result?wait=14"))
    time.sleep(0.3)
    own_postgres.stop(signal.SIGQUIT)
    began = time.monotonic()
    unavailable = system.client.get(f"/jobs/{job_id}/result?wait=14")
    assert (unavailable.status_code, unavailable.json()["type"]) == (503, "urn:jobproc:problem:store-unavailable")
    assert time.monotonic() - began < 4
    own_postgres.start()
    assert wait.result(20).json() == {"job_id": job_id, "status": "SUCCESS", "result": 3.0}
