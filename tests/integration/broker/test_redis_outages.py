"""Redis unavailable: idle workers poll, crashed processes are replaced, leases are renewed and jobs run."""

import os
import signal
import time
from collections.abc import Callable

import pytest
from rig.system import System, until

from tools.servers import Redis

MakeSystem = Callable[..., System]
CLAIM_S = 2.0  # two ticks of 0.2 s and a claim, on a busy machine


@pytest.mark.parametrize("signum", [signal.SIGSTOP, signal.SIGKILL], ids=["hung", "killed"])
def test_a_backlog_is_completed_while_redis_is_unavailable(
    make_system: MakeSystem, database_url: str, own_redis: Redis, signum: signal.Signals
) -> None:
    """A busy process claims without a doorbell. It must not wait for Redis to ring one, nor stop for lack of one."""
    system = make_system(database_url, own_redis.url)
    system.worker(concurrency=2).api()
    system.submit_many("effect", [[0.02, n] for n in range(150)])
    until("both processes run jobs", lambda: len({line["pid"] for line in system.effects()}) == 2)
    assert own_redis.process is not None
    own_redis.process.send_signal(signum)
    try:
        until(
            "the backlog is completed: 1.5 s of work for each process",
            lambda: not system.database.value("SELECT count(*) FROM live"),
            limit_s=8,
        )
    finally:
        own_redis.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("signum", [signal.SIGSTOP, signal.SIGKILL], ids=["hung", "killed"])
def test_idle_workers_poll_while_redis_is_unavailable(
    make_system: MakeSystem, database_url: str, own_redis: Redis, signum: signal.Signals
) -> None:
    """Each of several jobs is found, and no idle process waits for another one."""
    system = make_system(database_url, own_redis.url, JOBPROC_REDIS_TIMEOUT_SECONDS="0.5")
    system.worker("first", "default,slow", 2).api().controller()
    assert own_redis.process is not None
    own_redis.process.send_signal(signum)
    for _ in range(3):
        for job_id in [system.submit("noop", 1), system.submit("other_queue", 1)]:
            assert system.wait(job_id, limit_s=CLAIM_S)["status"] == "SUCCESS"
    jobs = system.submit_many("effect", [[5.0, n] for n in range(2)])
    until(
        "two processes run at once, also if one claimed both jobs and released one after a second",
        lambda: len(system.effects()) == 2,
        1.0 + CLAIM_S,
    )
    for job_id in jobs:
        assert system.wait(job_id)["status"] == "SUCCESS"


def test_a_process_that_crashes_while_redis_is_unavailable_is_replaced(
    make_system: MakeSystem, database_url: str, own_redis: Redis
) -> None:
    """The replacement retries the job. Once Redis is available again, new processes get doorbells as old ones did."""
    system = make_system(database_url, own_redis.url)
    system.worker(concurrency=1).api()
    own_redis.stop(signal.SIGKILL)
    assert system.wait(system.submit("die_times", 1), limit_s=10)["attempt"] == 2
    assert system.wait(system.submit("die_times", 1), limit_s=10)["attempt"] == 2
    own_redis.start()
    until("the consumer has reconnected", lambda: own_redis.client.client_list(_type="normal"), limit_s=10)
    jobs = [system.submit("noop", n) for n in range(3)]
    assert [system.wait(job_id, limit_s=CLAIM_S)["status"] for job_id in jobs] == ["SUCCESS"] * 3
    assert system.end("worker") == 0


def test_a_worker_that_starts_while_redis_is_unavailable_runs_jobs(
    make_system: MakeSystem, database_url: str, own_redis: Redis
) -> None:
    """Its leases are renewed too: a job longer than a lease runs once. It shuts down as any other worker."""
    system = make_system(database_url, own_redis.url).worker(concurrency=1).api()
    assert system.end("worker") == 0
    own_redis.stop(signal.SIGKILL)
    job_id = system.submit("effect", 3.0, 0)
    system.spawn("worker", "worker", "--queues", "default", "--concurrency", "1")
    assert system.wait(job_id)["attempt"] == 1
    assert len(system.effects()) == 2
    assert system.end("worker") == 0


def test_a_hung_redis_delays_neither_lease_renewal_nor_crash_recovery(
    make_system: MakeSystem, database_url: str, own_redis: Redis
) -> None:
    """Both need PostgreSQL alone: a crashed process is recovered, its job is charged, the other lease is renewed."""
    system = make_system(database_url, own_redis.url)
    system.all(JOBPROC_REDIS_TIMEOUT_SECONDS="0.5", JOBPROC_LEASE_SECONDS="3", JOBPROC_HEARTBEAT_SECONDS="0.5")
    killed, other = system.submit_many("effect", [[60, 0], [60, 1]])
    begins = until("both jobs run", lambda: lines if len(lines := system.effects()) == 2 else None)
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    try:
        os.kill(next(line["pid"] for line in begins if line["job"] == killed), signal.SIGKILL)
        until(
            "the job of the killed process is charged",
            lambda: [attempt["outcome"] for attempt in system.job(killed)["attempts"]] == ["lost"],
            limit_s=2,
        )
        end = time.monotonic() + 4.0
        until("more than a lease has passed", lambda: time.monotonic() > end)
        assert (system.status(other), system.job(other)["attempt"]) == ("IN_PROGRESS", 1)
    finally:
        own_redis.process.send_signal(signal.SIGCONT)
