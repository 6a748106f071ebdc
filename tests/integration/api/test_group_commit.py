"""Group commit: submissions share commits, and every job that got 202 is stored, whichever process crashes."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
from rig.proxy import Proxy
from rig.system import Database, System, until

GOOD = {"data": [1, 2, 3], "operation": "square_sum"}


@contextmanager
def blocked_commits(database: Database) -> Iterator[None]:
    """Block commits of submissions until the end of the block."""
    connection = psycopg2.connect(database.url)
    try:
        connection.cursor().execute("LOCK TABLE live IN SHARE MODE")
        yield
    finally:
        connection.close()


def wait_for_inserts(database: Database, transactions: int = 1) -> None:
    """Wait until this number of inserts waits for the lock."""
    here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
    count = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'live'::regclass AND database = {here}"
    until(f"{transactions} inserts wait", lambda: database.value(count) >= transactions)


@contextmanager
def clients(system: System, threads: int) -> Iterator[Callable[..., Future[httpx.Response]]]:
    """Yield a function that submits from threads. A connection carries one submission at a time."""
    with httpx.Client(base_url=system.client.base_url, timeout=20) as client, ThreadPoolExecutor(threads) as pool:

        def submit(path: str = "/jobs/", body: object = GOOD) -> Future[httpx.Response]:
            return pool.submit(client.post, path, json=body)

        yield submit


def test_submissions_that_arrive_during_a_commit_go_into_the_next_one(system: System) -> None:
    api_with_long_timeout(system)
    with clients(system, 32) as submit:
        with blocked_commits(system.database):
            futures = [submit()]
            wait_for_inserts(system.database)
            futures += [submit() for _ in range(30)]
            until("all submissions have arrived", lambda: _connections(system) >= 31)
        assert {future.result().status_code for future in futures} == {202}
    commits = [row[0] for row in system.database.rows("SELECT count(*) FROM jobs GROUP BY xmin::text")]
    assert sum(commits) == 31
    assert len(commits) <= 3, "the first one, all that arrived during its commit, and connections that had not sent yet"


def api_with_long_timeout(system: System, **settings: str) -> System:
    """Start an API whose database timeout is longer than any test blocks commits."""
    return system.api(JOBPROC_DATABASE_TIMEOUT_SECONDS="20", **settings)


def _connections(system: System) -> int:
    """Return the number of open sockets of the API."""
    sockets = [
        path
        for path in Path(f"/proc/{system.processes['api'].pid}/fd").iterdir()
        if path.is_symlink() and path.readlink().name.startswith("socket:")
    ]
    return len(sockets)


def test_no_client_gets_202_before_the_commit(system: System) -> None:
    api_with_long_timeout(system)
    with clients(system, 2) as submit:
        with blocked_commits(system.database):
            single, batch = submit(), submit("/jobs/batch", [GOOD] * 3)
            wait_for_inserts(system.database, 2)
            assert not single.done()
            assert not batch.done()
        assert single.result().status_code == batch.result().status_code == 202
    assert system.database.value("SELECT count(*) FROM jobs") == 4


def test_submissions_over_the_buffer_limit_are_refused_at_once_and_the_others_are_stored(
    system: System, assert_problem: Callable[..., Any]
) -> None:
    api_with_long_timeout(system, JOBPROC_MAX_BUFFERED_SUBMISSIONS="3")
    with clients(system, 20) as submit:
        with blocked_commits(system.database):
            accepted = [submit()]
            wait_for_inserts(system.database)
            others = [submit() for _ in range(12)]
            until("nine are refused", lambda: sum(future.done() for future in others) == 9)
            for future in others:
                if future.done():
                    assert_problem(future.result(), 503, "overloaded")
        accepted += [future for future in others if future.result().status_code == 202]
        assert {future.result().status_code for future in accepted} == {202}
    assert len(accepted) == system.database.value("SELECT count(*) FROM jobs") == 4


def test_jobs_of_an_api_killed_after_its_commit_exist_and_run(system: System) -> None:
    """The clients got no response; the jobs are stored once each, and run when a worker starts."""
    once = system.folder / "kill"
    for stored, (path, body) in {1: ("/jobs/", GOOD), 6: ("/jobs/batch", [GOOD] * 5)}.items():
        api_with_long_timeout(system, JOBPROC_FAILPOINTS=f"submit.after_commit=kill@{once}")
        once.touch()
        with pytest.raises(httpx.TransportError):
            system.client.post(path, json=body)
        assert system.processes["api"].wait(5) == -signal.SIGKILL
        assert not once.exists()
        assert (
            system.database.value("SELECT count(*) FROM jobs")
            == system.database.value("SELECT count(*) FROM live")
            == stored
        )
    system.all()
    system.wait_all()
    assert system.database.rows("SELECT status, attempt, count(*)::int FROM outcomes GROUP BY 1, 2") == [
        ("SUCCESS", 1, 6)
    ]
    assert {system.job(str(row[0]))["result"] for row in system.database.rows("SELECT id FROM jobs")} == {14.0}


def test_a_commit_whose_reply_was_lost_stores_no_job_twice(
    make_system: Callable[..., System], database_url: str, redis_url: str
) -> None:
    """The connection ends after the commit and before its reply, so the API repeats the insert with the same ids."""
    database = Database(database_url)
    with Proxy.before(database_url) as proxy:
        system = api_with_long_timeout(make_system(proxy.url_of(database_url), redis_url))
        with clients(system, 2) as submit:
            with blocked_commits(
                database
            ):  # prepares the insert on two connections, so that the lost reply is the commit's
                warm = submit()
                wait_for_inserts(database)
            assert warm.result().status_code == 202
            with blocked_commits(database):
                future = submit()
                wait_for_inserts(database)
                proxy.swallow()
            until("the submission is stored", lambda: database.value("SELECT count(*) FROM jobs") == 2)
            assert not future.done()
            proxy.heal()
            proxy.reset()
            job_id = future.result().json()["job_id"]
    assert job_id in {str(row[0]) for row in database.rows("SELECT id FROM jobs")}
    assert database.value("SELECT count(*) FROM live") == database.value("SELECT count(*) FROM jobs") == 2
    assert system.events("api", "database_unavailable")
    database.close()


def test_a_finished_job_whose_commit_is_repeated_does_not_run_again(
    make_system: Callable[..., System], database_url: str, redis_url: str
) -> None:
    """The reply of the commit is lost. The job runs and ends before the API repeats the insert."""
    database = Database(database_url)
    with Proxy.before(database_url) as proxy:
        system = api_with_long_timeout(make_system(proxy.url_of(database_url), redis_url))
        system.database = database
        system.submit("square_sum", 1)
        proxy.swallow()
        with clients(system, 1) as submit:
            future = submit()
            until("the job is stored", lambda: database.value("SELECT count(*) FROM jobs") == 2)
            system.worker(DATABASE_URL=database_url)
            until("the job has run", lambda: database.value("SELECT count(*) FROM outcomes") == 2)
            proxy.heal()
            proxy.reset()
            job_id = future.result().json()["job_id"]
        assert system.status(job_id) == "SUCCESS"
        assert database.value("SELECT count(*) FROM live") == 0
    database.close()


def test_a_client_that_disconnects_before_the_commit_affects_no_other(system: System) -> None:
    api_with_long_timeout(system)
    with clients(system, 4) as submit:
        with blocked_commits(system.database):
            first = submit()
            wait_for_inserts(system.database)
            with pytest.raises(httpx.ReadTimeout):
                system.client.post("/jobs/", json=GOOD, timeout=0.3)
            third = submit()
        assert first.result().status_code == third.result().status_code == 202
    assert system.client.post("/jobs/", json=GOOD).status_code == 202
    assert '"level": "error"' not in system.log("api")


def test_a_graceful_shutdown_answers_every_accepted_submission(system: System) -> None:
    """SIGTERM during commits: each client gets its 202, then the process ends."""
    api_with_long_timeout(system, JOBPROC_API_POOL_CONNECTIONS="7")  # five of them are for submissions
    with clients(system, 5) as submit:
        with blocked_commits(system.database):
            futures = [submit()] + [submit("/jobs/batch", [GOOD] * 5) for _ in range(4)]
            wait_for_inserts(system.database, 5)
            system.kill("api", signal.SIGTERM)
            until("the API accepts no more connections", lambda: not system._answers())
        assert {future.result().status_code for future in futures} == {202}
    system.processes["api"].wait(5)
    assert system.database.value("SELECT count(*) FROM jobs") == 21
