"""Redis flushed, killed, restarted empty, cut, hung: jobs are accepted all the while, and no worker stays deaf."""

import os
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
    """Start a worker a queue, so that each of them has to be awake for its own job to run."""
    system.worker("first", "default", 1, **settings)
    system.worker("second", "slow", 1, **settings)
    return system.api().controller()


def _each_claims(system: System, limit_s: float) -> None:
    """Give every worker a job; fail unless all have run it within the limit."""
    for job_id in [system.submit("noop", 1), system.submit("other_queue", 1)]:
        assert system.wait(job_id, limit_s=limit_s)["status"] == "SUCCESS"


@contextmanager
def _submissions(system: System) -> Iterator[list[float]]:
    """Submit jobs one after the other all the while; yields how long each took. Each must be accepted."""
    took: list[float] = []
    refused: list[str] = []
    done = threading.Event()

    def submit() -> None:
        with httpx.Client(base_url=system.client.base_url, timeout=15) as client:
            while not done.wait(0.01):
                began = time.monotonic()
                answer = client.post("/jobs/", json={"data": [0.001, len(took)], "operation": "effect"})
                took.append(time.monotonic() - began)
                if answer.status_code != 202:
                    refused.append(answer.text)

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield took
        until("some were submitted", lambda: len(took) > 10)
    finally:
        done.set()
        thread.join()
    assert not refused


def _quick(took: list[float]) -> None:
    """Hold that no submission waited for Redis: JOBPROC_REDIS_TIMEOUT_SECONDS is 2."""
    assert max(took) < 1.5
    assert statistics.median(took) < 0.2


def _once_each(system: System) -> None:
    """Hold that all that was accepted has run, and nothing twice: no fault of Redis reaches the work."""
    system.wait_all()
    begun = Counter(line["job"] for line in system.effects() if line["phase"] == "begin")
    assert begun
    assert set(begun.values()) == {1}
    assert system.database.one("SELECT count(*) FROM jobs WHERE operation = 'effect'") == len(begun)
    assert system.database.one("SELECT max(attempt) FROM outcomes") == 1
    assert system.database.one("SELECT count(*) FROM outcomes WHERE status <> 'SUCCESS'") == 0


def test_flushed_over_and_over_under_load_nothing_is_lost(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    system = _two_workers(make_system(database_url, own_redis.url))
    parents = {name: system.processes[name].pid for name in ("first", "second")}
    with _submissions(system) as took, own_redis.client as client:
        for _ in range(20):
            client.flushall()
            time.sleep(0.1)  # the rhythm of the fault
        _quick(took)
    _each_claims(system, CLAIM_S)
    _once_each(system)
    assert all(system.processes[name].poll() is None for name in parents)


def test_killed_and_restarted_empty_every_worker_claims_again(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """Submissions go on meanwhile, as quick as before; a job that runs is not touched."""
    system = _two_workers(make_system(database_url, own_redis.url))
    running = system.submit("effect", 1.5, 0)
    until("it runs", system.effects)
    with _submissions(system) as took:
        own_redis.stop(signal.SIGKILL)
        ended = time.monotonic() + 1.0
        until("an outage of a second", lambda: time.monotonic() > ended)
        own_redis.start()
        _quick(took)
    _each_claims(system, CLAIM_S)
    assert system.wait(running)["attempt"] == 1
    _once_each(system)


def test_cuts_in_a_row_shorter_than_a_poll_leave_no_worker_deaf(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """The rhythm that made consumers of older versions stop reading for good: reconnected within one tick of their loop."""
    chance = random.Random(2629)  # the seed is the number of kombu's defect
    system = make_system(database_url, own_redis.url)
    with Proxy(own_redis.port) as proxy:
        _two_workers(system, REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        before = proxy.accepted
        with _submissions(system):
            for _ in range(15):
                proxy.reset()
                time.sleep(chance.uniform(0.01, 0.3))  # the rhythm of the fault
            for _ in range(2):
                proxy.refuse()
                time.sleep(chance.uniform(0.01, 0.3))  # the length of the cut
                proxy.heal()
        assert proxy.accepted - before >= 10, "the cuts missed: void"
        _each_claims(system, CLAIM_S)
        _once_each(system)
        _each_claims(system, CLAIM_S)


def test_hung_with_the_socket_open_submissions_go_on_and_workers_come_back(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """The server stands still for longer than every time limit of the API's and the controller's client."""
    system = _two_workers(make_system(database_url, own_redis.url, JOBPROC_REDIS_TIMEOUT_SECONDS="0.5"))
    assert own_redis.process is not None
    with _submissions(system) as took:
        own_redis.process.send_signal(signal.SIGSTOP)
        until("a ring has failed", lambda: system.events("api", "ring_failed"), limit_s=5)
        ended = time.monotonic() + 1.0
        until("it hangs for another second", lambda: time.monotonic() > ended)
        own_redis.process.send_signal(signal.SIGCONT)
    # Had they waited, each of the two seconds would have been a timeout of half a second; one slow commit may be.
    assert sum(one >= 0.5 for one in took) <= 1
    assert statistics.median(took) < 0.2
    _each_claims(system, CLAIM_S)
    _once_each(system)


@pytest.mark.parametrize("sign", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "is dead"])
def test_a_backlog_is_drained_although_redis_is_away(make_system: MakeSystem, database_url: str, own_redis: Redis, sign: signal.Signals) -> None:
    """A process that is at work needs no doorbell, and must neither wait for one to be rung nor stop for the want of one."""
    system = make_system(database_url, own_redis.url)
    system.worker(concurrency=2).api()
    system.submit_many("effect", [[0.02, n] for n in range(150)])
    until("both work", lambda: len({line["pid"] for line in system.effects()}) == 2)
    assert own_redis.process is not None
    own_redis.process.send_signal(sign)
    try:
        until("the backlog is drained: 1.5 s of work for each", lambda: not system.database.one("SELECT count(*) FROM live"), limit_s=8)
    finally:
        own_redis.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("sign", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "is dead"])
def test_while_redis_is_away_idle_workers_look_by_themselves(make_system: MakeSystem, database_url: str, own_redis: Redis, sign: signal.Signals) -> None:
    """Not one job only, and none of the idle processes waits for another."""
    system = make_system(database_url, own_redis.url, JOBPROC_REDIS_TIMEOUT_SECONDS="0.5")
    system.worker("first", "default,slow", 2).api().controller()
    assert own_redis.process is not None
    own_redis.process.send_signal(sign)
    for _ in range(3):
        _each_claims(system, CLAIM_S)
    jobs = system.submit_many("effect", [[5.0, n] for n in range(2)])
    until("two processes run at once, also where one took both and gave one back after a second", lambda: len(system.effects()) == 2, 1.0 + CLAIM_S)
    for job_id in jobs:
        assert system.wait(job_id)["status"] == "SUCCESS"


def test_a_process_that_dies_while_redis_is_away_is_replaced(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """Its job runs again there. Once Redis is back the new ones hear as the old ones did."""
    system = make_system(database_url, own_redis.url)
    system.worker(concurrency=1).api()
    own_redis.stop(signal.SIGKILL)
    assert system.wait(system.submit("die_times", 1), limit_s=10)["attempt"] == 2
    assert system.wait(system.submit("die_times", 1), limit_s=10)["attempt"] == 2
    own_redis.start()
    until("its consumer is back", lambda: own_redis.client.client_list(_type="normal"), limit_s=10)
    rung = Counter(system.submit("noop", n) for n in range(3))
    assert [system.wait(job_id, limit_s=CLAIM_S)["status"] for job_id in rung] == ["SUCCESS"] * 3
    assert system.end("worker") == 0


def test_a_worker_that_starts_while_redis_is_away_works(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """Its leases are kept as well: a job longer than a lease runs once. It leaves as any other."""
    system = make_system(database_url, own_redis.url).worker(concurrency=1).api()
    assert system.end("worker") == 0
    own_redis.stop(signal.SIGKILL)
    job_id = system.submit("effect", 3.0, 0)
    system.spawn("worker", "worker", "--queues", "default", "--concurrency", "1")
    assert system.wait(job_id)["attempt"] == 1
    assert len(system.effects()) == 2
    assert system.end("worker") == 0


def test_a_connection_that_was_dropped_in_silence_is_noticed(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """As a NAT or load balancer does to idle connections: no FIN, no answer. Work goes on meanwhile."""
    system = make_system(database_url, own_redis.url)
    with Proxy(own_redis.port) as proxy:
        _two_workers(system, REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        _each_claims(system, CLAIM_S)
        proxy.drop()
        _each_claims(system, CLAIM_S)
        assert all(system.processes[name].poll() is None for name in ("first", "second"))


def test_a_hung_redis_delays_neither_leases_nor_rescues(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """What PostgreSQL can decide alone goes on: a dead process is buried, its job charged, the neighbour's lease renewed."""
    system = make_system(database_url, own_redis.url)
    system.all(JOBPROC_REDIS_TIMEOUT_SECONDS="0.5", JOBPROC_LEASE_SECONDS="3", JOBPROC_HEARTBEAT_SECONDS="0.5")
    killed, other = system.submit_many("effect", [[60, 0], [60, 1]])
    begun = until("both run", lambda: lines if len(lines := system.effects()) == 2 else None)
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    try:
        os.kill(next(line["pid"] for line in begun if line["job"] == killed), signal.SIGKILL)
        until("its job has been charged", lambda: [one["outcome"] for one in system.job(killed)["attempts"]] == ["lost"], limit_s=2)
        ended = time.monotonic() + 4.0
        until("more than a lease has gone by", lambda: time.monotonic() > ended)
        assert (system.status(other), system.job(other)["attempt"]) == ("IN_PROGRESS", 1)
    finally:
        own_redis.process.send_signal(signal.SIGCONT)


def test_a_full_redis_refuses_rings_and_no_submission(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """noeviction: writes fail until there is room again; the controller rings then."""
    system = _two_workers(make_system(database_url, own_redis.url))
    with own_redis.client as client, _submissions(system) as took:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        with pytest.raises(redis.ResponseError):
            client.set("filler", "x")
        until("a ring has failed", lambda: system.events("api", "ring_failed"), limit_s=5)
        client.config_set("maxmemory", "0")
        _quick(took)
    _each_claims(system, CLAIM_S)
    _once_each(system)


def test_a_redis_that_may_not_be_written_ends_no_worker(make_system: MakeSystem, database_url: str, own_redis: Redis) -> None:
    """As in a failover, until clients are sent to the new primary. Work goes on meanwhile."""
    system = _two_workers(make_system(database_url, own_redis.url))
    with own_redis.client as client, _submissions(system) as took:
        client.replicaof("127.0.0.1", free_port())
        until(
            "both workers have met it",
            lambda: all("read only replica" in system.log(name) or "ReadOnlyError" in system.log(name) for name in ("first", "second")),
            10,
        )
        _each_claims(system, CLAIM_S)
        client.replicaof("NO", "ONE")
        _quick(took)
    _each_claims(system, CLAIM_S)
    _once_each(system)
    assert all(system.processes[name].poll() is None for name in ("first", "second"))
