"""Redis flushed, killed, cut off, hung, full or read-only: jobs are accepted and no consumer stays stalled."""

import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import redis
from rig.proxy import Proxy
from rig.system import System, until

from tools.servers import Redis, free_port

MakeSystem = Callable[..., System]
CLAIM_S = 2.0  # two ticks of 0.2 s and a claim, on a busy machine


def _two_workers(system: System, **settings: str) -> System:
    """Start one worker for each of two queues, so that a job of a queue runs only if its own worker claims."""
    system.worker("first", "default", 1, **settings)
    system.worker("second", "slow", 1, **settings)
    return system.api().controller()


def _check_that_both_claim(system: System, limit_s: float) -> None:
    """Submit a job for each worker; fail unless both succeed within the limit."""
    for job_id in [system.submit("noop", 1), system.submit("other_queue", 1)]:
        assert system.wait(job_id, limit_s=limit_s)["status"] == "SUCCESS"


@contextmanager
def _submissions(system: System) -> Iterator[list[float]]:
    """Submit jobs one after the other; yield the list of their durations in seconds. Fail if one was refused."""
    durations: list[float] = []
    refused: list[str] = []
    done = threading.Event()

    def submit() -> None:
        with httpx.Client(base_url=system.client.base_url, timeout=15) as client:
            while not done.wait(0.01):
                began = time.monotonic()
                response = client.post("/jobs/", json={"data": [0.001, len(durations)], "operation": "effect"})
                durations.append(time.monotonic() - began)
                if response.status_code != 202:
                    refused.append(response.text)

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield durations
        until("more than ten jobs were submitted", lambda: len(durations) > 10)
    finally:
        done.set()
        thread.join()
    assert not refused


def _check_latency(durations: list[float]) -> None:
    """Fail if a submission waited for Redis: JOBPROC_REDIS_TIMEOUT_SECONDS is 2."""
    assert max(durations) < 1.5
    assert statistics.median(durations) < 0.2


def _check_that_each_ran_once(system: System) -> None:
    """Fail unless every accepted job has run exactly once: faults of Redis do not affect execution."""
    system.wait_all()
    starts = Counter(line["job"] for line in system.effects() if line["phase"] == "begin")
    assert starts
    assert set(starts.values()) == {1}
    assert system.database.value("SELECT count(*) FROM jobs WHERE operation = 'effect'") == len(starts)
    assert system.database.value("SELECT max(attempt) FROM outcomes") == 1
    assert system.database.value("SELECT count(*) FROM outcomes WHERE status <> 'SUCCESS'") == 0


def test_repeated_flushes_under_load_lose_no_job(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    system = _two_workers(make_system(database_url, own_redis.url))
    parents = {name: system.processes[name].pid for name in ("first", "second")}
    with _submissions(system) as durations, own_redis.client as client:
        for _ in range(20):
            client.flushall()
            time.sleep(0.1)  # the interval of the fault
        _check_latency(durations)
    _check_that_both_claim(system, CLAIM_S)
    _check_that_each_ran_once(system)
    assert all(system.processes[name].poll() is None for name in parents)


def test_every_worker_claims_again_after_redis_was_killed_and_restarted_empty(
    make_system: MakeSystem, database_url: str, own_redis: Redis
) -> None:
    """Submissions continue meanwhile with the usual latency; the running job is not affected."""
    system = _two_workers(make_system(database_url, own_redis.url))
    running = system.submit("effect", 1.5, 0)
    until("the job runs", system.effects)
    with _submissions(system) as durations:
        own_redis.stop(signal.SIGKILL)
        end = time.monotonic() + 1.0
        until("the outage has lasted a second", lambda: time.monotonic() > end)
        own_redis.start()
        _check_latency(durations)
    _check_that_both_claim(system, CLAIM_S)
    assert system.wait(running)["attempt"] == 1
    _check_that_each_ran_once(system)


def test_repeated_cuts_shorter_than_a_poll_leave_no_consumer_stalled(
    make_system: MakeSystem, database_url: str, own_redis: Redis
) -> None:
    """Consumers of older versions stopped reading for good if they reconnected within one cycle of their loop."""
    randomness = random.Random(2629)  # the number of the bug in kombu
    system = make_system(database_url, own_redis.url)
    with Proxy(own_redis.port) as proxy:
        _two_workers(system, REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        before = proxy.accepted
        with _submissions(system):
            for _ in range(15):
                proxy.reset()
                time.sleep(randomness.uniform(0.01, 0.3))  # the interval of the fault
            for _ in range(2):
                proxy.refuse()
                time.sleep(randomness.uniform(0.01, 0.3))  # the length of the cut
                proxy.heal()
        assert proxy.accepted - before >= 10, "the cuts hit too few connections"
        _check_that_both_claim(system, CLAIM_S)
        _check_that_each_ran_once(system)
        _check_that_both_claim(system, CLAIM_S)


def test_submissions_continue_while_redis_hangs_and_every_worker_claims_again_afterwards(
    make_system: MakeSystem, database_url: str, own_redis: Redis
) -> None:
    """The server is frozen for longer than every timeout of the Redis clients of API and controller."""
    system = _two_workers(make_system(database_url, own_redis.url, JOBPROC_REDIS_TIMEOUT_SECONDS="0.5"))
    assert own_redis.process is not None
    with _submissions(system) as durations:
        own_redis.process.send_signal(signal.SIGSTOP)
        until("a doorbell has failed", lambda: system.events("api", "ring_failed"), limit_s=5)
        end = time.monotonic() + 1.0
        until("Redis has hung for another second", lambda: time.monotonic() > end)
        own_redis.process.send_signal(signal.SIGCONT)
    # Submissions that waited for Redis would each take its timeout of 0.5 s. One slow commit is allowed.
    assert sum(duration >= 0.5 for duration in durations) <= 1
    assert statistics.median(durations) < 0.2
    _check_that_both_claim(system, CLAIM_S)
    _check_that_each_ran_once(system)


def test_a_silently_dropped_connection_is_detected(
    make_system: MakeSystem, database_url: str, own_redis: Redis
) -> None:
    """A NAT or load balancer drops idle connections so: no FIN, no reply. Jobs are run meanwhile."""
    system = make_system(database_url, own_redis.url)
    with Proxy(own_redis.port) as proxy:
        _two_workers(system, REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        _check_that_both_claim(system, CLAIM_S)
        proxy.drop()
        _check_that_both_claim(system, CLAIM_S)
        assert all(system.processes[name].poll() is None for name in ("first", "second"))


def test_a_full_redis_refuses_doorbells_but_submissions_are_accepted(
    make_system: MakeSystem, database_url: str, own_redis: Redis
) -> None:
    """With `noeviction` writes fail until memory is free again; then the controller rings."""
    system = _two_workers(make_system(database_url, own_redis.url))
    with own_redis.client as client, _submissions(system) as durations:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        with pytest.raises(redis.ResponseError):
            client.set("filler", "x")
        until("a doorbell has failed", lambda: system.events("api", "ring_failed"), limit_s=5)
        client.config_set("maxmemory", "0")
        _check_latency(durations)
    _check_that_both_claim(system, CLAIM_S)
    _check_that_each_ran_once(system)


def test_a_read_only_redis_ends_no_worker(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """A failover has this phase, until clients are sent to the new primary. Jobs are run meanwhile."""
    system = _two_workers(make_system(database_url, own_redis.url))
    with own_redis.client as client, _submissions(system) as durations:
        client.replicaof("127.0.0.1", free_port())
        until(
            "both workers have logged the error",
            lambda: all(
                "read only replica" in system.log(name) or "ReadOnlyError" in system.log(name)
                for name in ("first", "second")
            ),
            10,
        )
        _check_that_both_claim(system, CLAIM_S)
        client.replicaof("NO", "ONE")
        _check_latency(durations)
    _check_that_both_claim(system, CLAIM_S)
    _check_that_each_ran_once(system)
    assert all(system.processes[name].poll() is None for name in ("first", "second"))
