"""Submissions share commits; what was told 202 is stored, whatever dies."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg2
import pytest
from rig.proxy import Proxy
from rig.system import Database, System, until

GOOD = {"data": [1, 2, 3], "operation": "square_sum"}


@contextmanager
def held(database: Database) -> Iterator[None]:
    """Make commits of submissions wait until the end of the block."""
    connection = psycopg2.connect(database.url)
    try:
        connection.cursor().execute("LOCK TABLE live IN SHARE MODE")
        yield
    finally:
        connection.close()


def waiting(database: Database, transactions: int = 1) -> None:
    """Wait until so many inserts wait for the lock."""
    here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
    count = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'live'::regclass AND database = {here}"
    until(f"{transactions} inserts wait", lambda: database.one(count) >= transactions)


@contextmanager
def clients(system: System, most: int) -> Iterator[Callable[..., Future[httpx.Response]]]:
    """Submit from threads; at any time a connection has one submission."""
    with httpx.Client(base_url=system.client.base_url, timeout=20) as client, ThreadPoolExecutor(most) as pool:

        def submit(path: str = "/jobs/", body: object = GOOD) -> Future[httpx.Response]:
            return pool.submit(client.post, path, json=body)

        yield submit


def test_submissions_that_arrive_during_a_commit_go_into_the_next_one(system: System) -> None:
    patient(system)
    with clients(system, 32) as submit:
        with held(system.database):
            answers = [submit()]
            waiting(system.database)
            answers += [submit() for _ in range(30)]
            until("all have come", lambda: _connections(system) >= 31)
        assert {answer.result().status_code for answer in answers} == {202}
    commits = [row[0] for row in system.database.rows("SELECT count(*) FROM jobs GROUP BY xmin::text")]
    assert sum(commits) == 31
    assert len(commits) <= 3, "the first one, all that came meanwhile, and whoever had connected but not sent"


def patient(system: System, **settings: str) -> System:
    """Start an API that waits for its commits longer than a test on a busy machine holds them up."""
    return system.api(JOBPROC_DATABASE_TIMEOUT_SECONDS="20", **settings)


def _connections(system: System) -> int:
    """Return how many connections the API has taken."""
    sockets = [path for path in Path(f"/proc/{system.processes['api'].pid}/fd").iterdir() if path.is_symlink() and path.readlink().name.startswith("socket:")]
    return len(sockets)


def test_nobody_is_told_202_before_the_commit(system: System) -> None:
    patient(system)
    with clients(system, 2) as submit:
        with held(system.database):
            one, many = submit(), submit("/jobs/batch", [GOOD] * 3)
            waiting(system.database, 2)
            assert not one.done()
            assert not many.done()
        assert one.result().status_code == many.result().status_code == 202
    assert system.database.one("SELECT count(*) FROM jobs") == 4


def test_more_than_may_wait_are_refused_at_once_and_the_others_are_stored(system: System, refused: Callable[..., Any]) -> None:
    patient(system, JOBPROC_MAX_WAITING_JOBS="3")
    with clients(system, 20) as submit:
        with held(system.database):
            taken = [submit()]
            waiting(system.database)
            others = [submit() for _ in range(12)]
            until("nine are refused", lambda: sum(one.done() for one in others) == 9)
            for one in others:
                if one.done():
                    refused(one.result(), 503, "overloaded")
        taken += [one for one in others if one.result().status_code == 202]
        assert {one.result().status_code for one in taken} == {202}
    assert len(taken) == system.database.one("SELECT count(*) FROM jobs") == 4


def test_jobs_of_an_api_killed_after_its_commit_exist_and_run(system: System) -> None:
    """The clients saw no answer; the jobs are stored, once each, and run when somebody serves."""
    once = system.folder / "kill"
    for stored, (path, body) in {1: ("/jobs/", GOOD), 6: ("/jobs/batch", [GOOD] * 5)}.items():
        patient(system, JOBPROC_FAILPOINTS=f"submit.after_commit=kill@{once}")
        once.touch()
        with pytest.raises(httpx.TransportError):
            system.client.post(path, json=body)
        assert system.processes["api"].wait(5) == -signal.SIGKILL
        assert not once.exists()
        assert system.database.one("SELECT count(*) FROM jobs") == system.database.one("SELECT count(*) FROM live") == stored
    system.all()
    system.wait_all()
    assert system.database.rows("SELECT status, attempt, count(*)::int FROM outcomes GROUP BY 1, 2") == [("SUCCESS", 1, 6)]
    assert {system.job(str(row[0]))["result"] for row in system.database.rows("SELECT id FROM jobs")} == {14.0}


def test_a_commit_whose_answer_was_lost_is_not_doubled(make_system: Callable[..., System], database_url: str, redis_url: str) -> None:
    """The database has committed, the connection ends before it could say so: the API repeats the insert with the same ids."""
    database, port = Database(database_url), urlsplit(database_url).port or 0
    with Proxy(port) as proxy:
        system = patient(make_system(database_url.replace(f":{port}/", f":{proxy.port}/"), redis_url))
        with clients(system, 2) as submit:
            with held(database):  # two connections that have prepared the insert: a lost answer is then the commit's
                warm = [submit(), submit("/jobs/batch", [GOOD])]
                waiting(database, 2)
            assert [answer.result().status_code for answer in warm] == [202, 202]
            with held(database):
                answers = [submit(), submit("/jobs/batch", [GOOD] * 5)]
                waiting(database, 2)
                proxy.swallow()
            until("both are stored", lambda: database.one("SELECT count(*) FROM jobs") == 8)
            assert not any(answer.done() for answer in answers)
            proxy.heal()
            proxy.reset()
            job_ids = [answers[0].result().json()["job_id"], *answers[1].result().json()["job_ids"]]
    assert set(job_ids) <= {str(row[0]) for row in database.rows("SELECT id FROM jobs")}
    assert database.one("SELECT count(*) FROM live") == database.one("SELECT count(*) FROM jobs") == 8
    assert len(system.events("api", "database_away")) >= 2
    database.close()


def test_a_finished_job_whose_commit_is_repeated_does_not_run_again(make_system: Callable[..., System], database_url: str, redis_url: str) -> None:
    """The answer of the commit is lost, the job runs and ends meanwhile, then the insert comes once more."""
    database, port = Database(database_url), urlsplit(database_url).port or 0
    with Proxy(port) as proxy:
        system = patient(make_system(database_url.replace(f":{port}/", f":{proxy.port}/"), redis_url))
        system.database = database
        system.submit("square_sum", 1)
        proxy.swallow()
        with clients(system, 1) as submit:
            answer = submit()
            until("it is stored", lambda: database.one("SELECT count(*) FROM jobs") == 2)
            system.worker(DATABASE_URL=database_url)
            until("it has run", lambda: database.one("SELECT count(*) FROM outcomes") == 2)
            proxy.heal()
            proxy.reset()
            job_id = answer.result().json()["job_id"]
        assert system.status(job_id) == "SUCCESS"
        assert database.one("SELECT count(*) FROM live") == 0
    database.close()


def test_a_client_that_leaves_before_the_commit_takes_nobody_with_it(system: System) -> None:
    patient(system)
    with clients(system, 4) as submit:
        with held(system.database):
            stays = submit()
            waiting(system.database)
            with pytest.raises(httpx.ReadTimeout):
                system.client.post("/jobs/", json=GOOD, timeout=0.3)
            also_stays = submit()
        assert stays.result().status_code == also_stays.result().status_code == 202
    assert system.client.post("/jobs/", json=GOOD).status_code == 202
    assert '"level": "error"' not in system.log("api")


def test_an_api_that_is_told_to_end_answers_what_it_has_taken(system: System) -> None:
    """SIGTERM while commits are under way: each client gets its 202, then the process ends."""
    patient(system)
    with clients(system, 5) as submit:
        with held(system.database):
            answers = [submit()] + [submit("/jobs/batch", [GOOD] * 5) for _ in range(4)]
            waiting(system.database, 5)
            system.kill("api", signal.SIGTERM)
            until("it takes no more", lambda: not system._answers())
        assert {answer.result().status_code for answer in answers} == {202}
    system.processes["api"].wait(5)
    assert system.database.one("SELECT count(*) FROM jobs") == 21
