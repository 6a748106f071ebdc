"""PostgreSQL restarted, killed or cut off while jobs run: ended jobs are settled afterwards and none runs twice."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
from rig.proxy import Proxy
from rig.system import System, until

from tools.servers import Postgres

#: Leases outlast the fault: with a shorter one, jobs that have ended would run again.
LONG_LEASES = {"JOBPROC_LEASE_SECONDS": "60", "JOBPROC_HEARTBEAT_SECONDS": "0.4"}
MakeSystem = Callable[..., System]


def _check(system: System, jobs: list[str], *, exactly_once: bool) -> None:
    """Fail unless each job succeeded once with its own number, with no more effects than attempts."""
    outcomes = system.database.rows("SELECT id::text, status, result::text, attempt FROM outcomes")
    assert sorted(row[0] for row in outcomes) == sorted(jobs)
    results = {row[0]: (row[1], float(row[2]), row[3]) for row in outcomes}
    starts = Counter(line["job"] for line in system.effects() if line["phase"] == "begin")
    for number, job_id in enumerate(jobs):
        status, result, attempt = results[job_id]
        assert (status, result) == ("SUCCESS", number)
        assert 1 <= starts[job_id] <= attempt
    if exactly_once:
        assert set(starts.values()) == {1}
    assert not system.database.rows("SELECT * FROM attempts WHERE outcome = 'lost'")


def _outage_is_noticed(system: System, before: int) -> bool:
    """Return True if effects were added to the `before` ones, or a worker has logged the outage."""
    return len(system.effects()) > before or bool(system.events("worker", "database_unavailable"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "killed"])
def test_jobs_that_ended_during_a_database_outage_are_settled_afterwards(
    make_system: MakeSystem, own_postgres: Postgres, redis_url: str, signum: signal.Signals
) -> None:
    """Two restarts under load. No worker process is restarted, no job runs twice."""
    system = make_system(own_postgres.url(), redis_url, **LONG_LEASES).all()
    pids = set(system.children())
    jobs: list[str] = []
    for _ in range(2):
        jobs += system.submit_many("effect", [[0.1, len(jobs) + n] for n in range(20)])
        before = len(system.effects())
        until("the jobs run", lambda: len(system.effects()) > before + 4)  # noqa: B023 - called at once
        system.database.close()
        own_postgres.stop(signum)
        before = len(system.effects())
        until("jobs end during the outage", partial(_outage_is_noticed, system, before), limit_s=3)
        own_postgres.start()
    system.wait_all()
    _check(system, jobs, exactly_once=True)
    assert set(system.children()) == pids
    assert system.events("worker", "database_unavailable")
    assert system.events("worker", "reconnected")
    assert not system.events("worker", "results_fenced")


def test_backends_terminated_under_load_lose_no_result(system: System) -> None:
    """Every connection of workers and controller is terminated twelve times."""
    system.env.update(LONG_LEASES)
    system.all()
    pids = set(system.children())
    jobs = system.submit_many("effect", [[0.01, n] for n in range(200)])
    terminated = 0
    for _ in range(12):
        terminated += system.database.value(
            """
            SELECT count(*) FROM (
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database()
                  AND usename IN ('jobproc_test_worker', 'jobproc_test_controller')) t
            """
        )
        time.sleep(0.1)  # the interval of the fault, not a wait for an effect
    assert terminated >= 12
    system.wait_all()
    _check(system, jobs, exactly_once=True)
    assert set(system.children()) == pids
    assert not system.events("worker", "results_fenced")
    assert system.status(system.submit("noop", 1)) != "FAILED"


@pytest.mark.parametrize("failpoint", ["settle.before_commit", "settle.after_commit"])
def test_a_crash_of_the_database_around_a_commit_ends_each_job_once(
    make_system: MakeSystem, own_postgres: Postgres, redis_url: str, failpoint: str
) -> None:
    """The process pauses at the failpoint, before or after its commit, while PostgreSQL is killed."""
    system = make_system(own_postgres.url(), redis_url, **LONG_LEASES)
    once = system.folder / "once"
    system.worker(concurrency=1, JOBPROC_FAILPOINTS=f"{failpoint}=sleep:1@{once}").api()
    jobs = [system.submit("effect", 0.3, 0)]
    until("the job runs", lambda: len(system.effects()) == 1)
    jobs += system.submit_many("effect", [[0.001, n] for n in range(1, 10)])
    once.touch()
    until("the failpoint is reached", lambda: not once.exists())
    system.database.close()
    own_postgres.stop(signal.SIGQUIT)
    own_postgres.start()
    system.controller()
    system.wait_all()
    _check(system, jobs, exactly_once=True)
    assert not system.events("worker", "results_fenced")


def test_a_settle_whose_response_was_lost_is_not_taken_for_fenced(system: System, database_url: str) -> None:
    """The settle is committed, its response lost: the worker finds its own result and releases jobs claimed with it."""
    with Proxy.before(database_url) as proxy:
        proxied_url = proxy.url_of(database_url)
        system.env.update(LONG_LEASES)
        system.worker(concurrency=1, DATABASE_URL=proxied_url).api()
        system.wait(system.submit("effect", 0.001, 0))
        first = system.submit("effect", 0.5, 1)
        until("the job runs", lambda: any(line["job"] == first for line in system.effects()))
        others = system.submit_many("effect", [[0.001, n] for n in range(5)])
        proxy.swallow(rb"EXECUTE settle_and_claim|INSERT INTO outcomes")  # not before: the worker looks at tenants, too
        until("the settle is committed", lambda: system.status(first) == "SUCCESS")
        before = system.job(first)
        proxy.reset()
        proxy.heal()
        for job_id in others:
            assert system.wait(job_id)["status"] == "SUCCESS"
        assert system.job(first) == before
        assert before["attempt"] == 1
    starts = Counter(line["job"] for line in system.effects() if line["phase"] == "begin")
    assert set(starts.values()) == {1}
    assert not system.events("worker", "results_fenced")


def test_a_job_of_a_worker_cut_off_for_longer_than_its_lease_runs_elsewhere(system: System, database_url: str) -> None:
    """Only the worker is cut off from the database: its lease ends, and its late result is fenced."""
    with Proxy.before(database_url) as proxy:
        system.worker(concurrency=1, DATABASE_URL=proxy.url_of(database_url)).api().controller()
        job_id = system.submit("effect", 0.5, 1)
        until("the job runs", system.effects)
        proxy.refuse()
        system.worker("other", concurrency=1)
        job = system.wait(job_id)
        assert (job["attempt"], [attempt["outcome"] for attempt in job["attempts"]]) == (2, ["lost", "success"])
        proxy.heal()
        until("the late result is fenced", lambda: system.events("worker", "results_fenced"))
        assert system.job(job_id) == job
        system.end("other")
        assert system.wait(system.submit("noop", 1))["status"] == "SUCCESS"


def test_a_worker_may_start_before_postgresql_and_redis(
    make_system: MakeSystem, own_postgres: Postgres, redis_url: str
) -> None:
    """The worker waits for both and need not be restarted."""
    with Proxy(own_postgres.port) as postgres, Proxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as redis:
        system = make_system(own_postgres.url(), redis_url).api().controller()
        job_id = system.submit("square_sum", 1, 2, 3)
        postgres.refuse()
        redis.refuse()
        proxied_urls = {
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres",
            "REDIS_URL": f"redis://127.0.0.1:{redis.port}/{redis_url[-1]}",
        }
        process = system.spawn("worker", "worker", "--concurrency", "1", **proxied_urls)
        until("the worker has tried to connect", lambda: system.events("worker", "startup_waiting"))
        postgres.heal()
        redis.heal()
        assert system.wait(job_id)["result"] == 14.0
        assert process.poll() is None
