"""PostgreSQL restarted, killed, cut off while jobs run: what has ended is settled after, nothing runs twice for it."""

import signal
import time
from collections import Counter
from collections.abc import Callable

import psycopg2
import pytest
from rig.proxy import Proxy
from rig.system import System, until

from tools.servers import Postgres

#: Leases that outlast the fault: the work is done, only its lease could take it away.
PATIENT = {"JOBPROC_LEASE_SECONDS": "60", "JOBPROC_HEARTBEAT_SECONDS": "0.4"}
MakeSystem = Callable[..., System]


def _check(system: System, jobs: list[str], *, exactly_once: bool) -> None:
    """Each job ended once, with its own number; effects are no more than attempts."""
    outcomes = system.database.rows("SELECT id::text, status, result::text, attempt FROM outcomes")
    assert sorted(row[0] for row in outcomes) == sorted(jobs)
    results = {row[0]: (row[1], float(row[2]), row[3]) for row in outcomes}
    begun = Counter(line["job"] for line in system.effects() if line["phase"] == "begin")
    for number, job_id in enumerate(jobs):
        status, result, attempt = results[job_id]
        assert (status, result) == ("SUCCESS", number)
        assert 1 <= begun[job_id] <= attempt
    if exactly_once:
        assert set(begun.values()) == {1}
    assert not system.database.rows("SELECT * FROM attempts WHERE ended = 'lost'")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "killed"])
def test_jobs_that_ended_while_the_database_was_away_are_settled_after(
    make_system: MakeSystem, own_postgres: Postgres, redis_url: str, sign: signal.Signals
) -> None:
    """Two restarts under load. No worker process is restarted, no job runs twice."""
    system = make_system(own_postgres.url(), redis_url, **PATIENT).all()
    pids = set(system.children())
    jobs: list[str] = []
    for _ in range(2):
        jobs += system.submit_many("effect", [[0.1, len(jobs) + n] for n in range(20)])
        begun = len(system.effects())
        until("they run", lambda: len(system.effects()) > begun + 4)  # noqa: B023 - called at once
        system.database.close()
        own_postgres.stop(sign)
        ended = len(system.effects())
        until("some end while it is away", lambda: len(system.effects()) > ended or system.events("worker", "database_away"), limit_s=3)  # noqa: B023 - called at once
        own_postgres.start()
    system.wait_all()
    _check(system, jobs, exactly_once=True)
    assert set(system.children()) == pids
    assert system.events("worker", "database_away")
    assert system.events("worker", "reconnected")
    assert not system.events("worker", "results_refused")


def test_backends_terminated_under_load_lose_no_result(system: System) -> None:
    """Every connection of workers and controller, over and over."""
    system.env.update(PATIENT)
    system.all()
    pids = set(system.children())
    jobs = system.submit_many("effect", [[0.01, n] for n in range(200)])
    terminated = 0
    for _ in range(12):
        terminated += system.database.one(
            """
            SELECT count(*) FROM (
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name IN ('jobproc-worker', 'jobproc-leases', 'jobproc-controller')) t
            """
        )
        time.sleep(0.1)  # the pace of the fault, not a wait for its end
    assert terminated >= 12
    system.wait_all()
    _check(system, jobs, exactly_once=True)
    assert set(system.children()) == pids
    assert not system.events("worker", "results_refused")
    assert system.status(system.submit("noop", 1)) != "FAILED"


@pytest.mark.parametrize("place", ["settle.before_commit", "settle.after_commit"])
def test_a_crash_of_the_database_around_a_commit_ends_each_job_once(make_system: MakeSystem, own_postgres: Postgres, redis_url: str, place: str) -> None:
    """The process stands still in exactly that place while PostgreSQL is killed: the commit stood, or it did not."""
    system = make_system(own_postgres.url(), redis_url, **PATIENT)
    once = system.folder / "once"
    system.worker(concurrency=1, JOBPROC_FAILPOINTS=f"{place}=sleep:1@{once}").api()
    jobs = [system.submit("effect", 0.3, 0)]
    until("it runs", lambda: len(system.effects()) == 1)
    jobs += system.submit_many("effect", [[0.001, n] for n in range(1, 10)])
    once.touch()
    until("it stands there", lambda: not once.exists())
    system.database.close()
    own_postgres.stop(signal.SIGQUIT)
    own_postgres.start()
    system.controller()
    system.wait_all()
    _check(system, jobs, exactly_once=True)
    assert not system.events("worker", "results_refused")


def test_a_commit_whose_answer_was_lost_is_not_taken_for_stolen(system: System, database_url: str) -> None:
    """The settle stood, its answer never came: the worker finds its own earlier success. Jobs claimed unknowingly are given back."""
    with Proxy(psycopg2.extensions.parse_dsn(database_url)["port"]) as proxy:
        parts = psycopg2.extensions.parse_dsn(database_url)
        behind = f"postgresql://{parts['user']}@127.0.0.1:{proxy.port}/{parts['dbname']}"
        system.env.update(PATIENT)
        system.worker(concurrency=1, DATABASE_URL=behind).api()
        system.wait(system.submit("effect", 0.001, 0))
        first = system.submit("effect", 0.5, 1)
        until("it runs", lambda: any(line["job"] == first for line in system.effects()))
        others = system.submit_many("effect", [[0.001, n] for n in range(5)])
        proxy.swallow()
        until("the settle stood", lambda: system.status(first) == "SUCCESS")
        before = system.job(first)
        proxy.reset()
        proxy.heal()
        for job_id in others:
            assert system.wait(job_id)["status"] == "SUCCESS"
        assert system.job(first) == before
        assert before["attempt"] == 1
    begun = Counter(line["job"] for line in system.effects() if line["phase"] == "begin")
    assert set(begun.values()) == {1}
    assert not system.events("worker", "results_refused")


def test_jobs_held_over_an_outage_longer_than_the_lease_are_run_by_others_once_the_database_is_back(system: System, database_url: str) -> None:
    """The worker is cut off, not the database: its lease ends, its result comes too late and is refused."""
    parts = psycopg2.extensions.parse_dsn(database_url)
    with Proxy(parts["port"]) as proxy:
        system.worker(concurrency=1, DATABASE_URL=f"postgresql://{parts['user']}@127.0.0.1:{proxy.port}/{parts['dbname']}").api().controller()
        job_id = system.submit("effect", 0.5, 1)
        until("it runs", system.effects)
        proxy.refuse()
        system.worker("other", concurrency=1)
        job = system.wait(job_id)
        assert (job["attempt"], [one["outcome"] for one in job["attempts"]]) == (2, ["lost", "success"])
        proxy.heal()
        until("the late result has been refused", lambda: system.events("worker", "results_refused"))
        assert system.job(job_id) == job
        system.end("other")
        assert system.wait(system.submit("noop", 1))["status"] == "SUCCESS"


def test_a_worker_may_start_before_its_database_and_before_its_redis(make_system: MakeSystem, own_postgres: Postgres, redis_url: str) -> None:
    """It waits for them, and needs nobody to start it again."""
    with Proxy(own_postgres.port) as postgres, Proxy(int(redis_url.rpartition(":")[2].partition("/")[0])) as redis:
        system = make_system(own_postgres.url(), redis_url).api().controller()
        job_id = system.submit("square_sum", 1, 2, 3)
        postgres.refuse()
        redis.refuse()
        behind = {"DATABASE_URL": f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres", "REDIS_URL": f"redis://127.0.0.1:{redis.port}/{redis_url[-1]}"}
        process = system.spawn("worker", "worker", "--concurrency", "1", **behind)
        until("it has looked for the database", lambda: system.events("worker", "database_away"))
        postgres.heal()
        redis.heal()
        assert system.wait(job_id)["result"] == 14.0
        assert process.poll() is None
