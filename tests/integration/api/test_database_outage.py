"""PostgreSQL down, hung, restarted, cut off: 503 in time and nothing stored, or no error at all."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import psycopg2
import pytest
from rig.proxy import Proxy
from rig.system import Database, System, until

from tools.servers import Postgres

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
GOOD = {"data": [1, 2, 3], "operation": "square_sum"}
LIMIT_S = 1.0  # JOBPROC_DATABASE_TIMEOUT_SECONDS of these tests
LATE_S = 1.0  # over the limit: a busy machine
END_ALL = "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = 'jobproc-api' AND datname = current_database()"


def refuses_in_time(system: System, refused: Callable[..., Any]) -> None:
    """Check that submissions and looks, all at once, get 503 in time."""
    requests: list[tuple[str, str, Any]] = [("GET", f"/jobs/{UNKNOWN}{path}", None) for path in ("", "/status", "/result")]
    requests += [("POST", f"/jobs/{UNKNOWN}/{verb}", None) for verb in ("cancel", "retry")]
    requests += [("POST", "/jobs/", GOOD), ("POST", "/jobs/batch", [GOOD, GOOD])]
    with ThreadPoolExecutor(len(requests)) as clients:
        answers = list(clients.map(lambda request: system.client.request(request[0], request[1], json=request[2]), requests))
    for answer in answers:
        refused(answer, 503, "store-unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.elapsed.total_seconds() < LIMIT_S + LATE_S, answer.request.url
    assert system.client.get("/readyz").status_code == 503
    assert system.client.get("/livez").status_code == 200


def test_a_database_that_is_down_is_a_503_in_time_and_nothing_is_stored(
    make_system: Callable[..., System], own_postgres: Postgres, redis_url: str, refused: Callable[..., Any]
) -> None:
    """Down at the start of the API, back, and down again: no restart of the API."""
    own_postgres.stop()
    system = make_system(own_postgres.url(), redis_url, JOBPROC_DATABASE_TIMEOUT_SECONDS=str(LIMIT_S)).api()
    refuses_in_time(system, refused)
    own_postgres.start()
    job_id = system.submit("square_sum", 1)
    assert system.status(job_id) == "PENDING"
    assert system.client.get("/readyz").status_code == 200
    own_postgres.stop()
    said = len(system.events("api", "database_away"))
    assert system.client.get(f"/jobs/{UNKNOWN}").status_code == 503
    assert len(system.events("api", "database_away")) > said, "a read that fails says why"
    refuses_in_time(system, refused)
    own_postgres.start()
    assert system.status(job_id) == "PENDING"
    assert system.database.one("SELECT count(*) FROM jobs") == 1
    assert not system.events("api", "request_failed")


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """A proxy in front of PostgreSQL."""
    with Proxy(urlsplit(database_url).port or 0) as made:
        yield made


def through(proxy: Proxy, url: str) -> str:
    """Return a database's URL that leads through a proxy."""
    return url.replace(f":{urlsplit(url).port}/", f":{proxy.port}/")


def test_a_database_that_hangs_is_a_503_in_time(
    make_system: Callable[..., System], proxy: Proxy, database_url: str, redis_url: str, refused: Callable[..., Any]
) -> None:
    """Connections stay open, new ones are taken, nothing comes back."""
    system = make_system(through(proxy, database_url), redis_url, JOBPROC_DATABASE_TIMEOUT_SECONDS=str(LIMIT_S)).api()
    system.submit("square_sum", 1)
    proxy.hang()
    refuses_in_time(system, refused)
    proxy.heal()
    until("it heals", lambda: system.client.post("/jobs/", json=GOOD).status_code == 202, 5)
    assert system.client.get(f"/jobs/{UNKNOWN}").status_code == 404


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/batch"])
def test_what_was_refused_for_a_slow_database_is_not_stored_later(system: System, refused: Callable[..., Any], path: str) -> None:
    """A lock holds the insert up past the limit; once it is gone, the client that was told 503 finds nothing stored."""
    system.api(JOBPROC_DATABASE_TIMEOUT_SECONDS=str(LIMIT_S))
    system.submit("square_sum", 1)
    with locked(system, "live"):
        answer = system.client.post(path, json=GOOD if path == "/jobs/" else [GOOD, GOOD])
        refused(answer, 503, "store-unavailable")
        assert answer.elapsed.total_seconds() < LIMIT_S + LATE_S
    until(
        "nothing is under way",
        lambda: not system.database.one("SELECT count(*) FROM pg_stat_activity WHERE query ~ 'INTO live' AND state = 'active' AND pid <> pg_backend_pid()"),
    )
    assert system.database.one("SELECT count(*) FROM jobs") == 1
    system.submit("square_sum", 1)


@contextmanager
def locked(system: System, table: str) -> Iterator[None]:
    """Hold a lock that inserts into a table wait for."""
    connection = psycopg2.connect(system.database.url)
    try:
        connection.cursor().execute(f"LOCK TABLE {table} IN SHARE MODE")
        yield
    finally:
        connection.close()


class Load:
    """Clients that submit and look, one request after the other each, until they are told to stop."""

    def __init__(self, system: System, clients: int = 6) -> None:
        self.system = system
        self.answers: Counter[str] = Counter()
        self.accepted: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        with httpx.Client(base_url=self.system.client.base_url, timeout=15) as client:
            while not self._stop.is_set():
                answer = self._ask(client, "POST", "/jobs/", GOOD)
                if answer is not None and answer.status_code == 202:
                    self.accepted.append(answer.json()["job_id"])
                    self._ask(client, "GET", f"/jobs/{self.accepted[-1]}/status")

    def _ask(self, client: httpx.Client, method: str, path: str, body: Any = None) -> httpx.Response | None:
        try:
            answer = client.request(method, path, json=body)
        except httpx.TransportError as error:
            self.answers[f"{method} {type(error).__name__}"] += 1
            return None
        problem = answer.headers["content-type"] == "application/problem+json"
        self.answers[f"{method} {answer.status_code}" + (" problem" if problem else "")] += 1
        return answer

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        until("submissions flow", lambda: len(self.accepted) > 50)
        return self

    def more(self, jobs: int = 50) -> None:
        """Wait until so many more have been accepted."""
        wanted = len(self.accepted) + jobs
        until("submissions flow again", lambda: len(self.accepted) >= wanted)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "as a crash"])
def test_a_restart_of_the_database_under_load_loses_and_doubles_nothing(
    make_system: Callable[..., System], own_postgres: Postgres, redis_url: str, sign: signal.Signals
) -> None:
    system = make_system(own_postgres.url(), redis_url).api()
    with Load(system) as load:
        own_postgres.stop(sign)
        own_postgres.start()
        load.more()
    assert set(load.answers) <= {"POST 202", "GET 200", "POST 503 problem", "GET 503 problem"}, load.answers
    stored = {str(row[0]) for row in system.database.rows("SELECT id FROM jobs")}
    assert len(load.accepted) == len(set(load.accepted))
    assert set(load.accepted) <= stored, "what was accepted is stored"
    assert stored <= set(load.accepted), "what was refused is not"
    assert not system.events("api", "request_failed")


@pytest.mark.parametrize("cut", ["ended by the server", "reset on the way"])
def test_connections_that_are_cut_are_replaced_without_an_error(
    make_system: Callable[..., System], proxy: Proxy, database_url: str, redis_url: str, cut: str
) -> None:
    """All of them, over and over, under load: no client sees it and the API is not restarted."""
    system = make_system(through(proxy, database_url), redis_url).api()
    database = Database(database_url)
    with Load(system) as load:
        for _ in range(12):
            if cut == "reset on the way":
                assert proxy.connections > 0
                proxy.reset()
            else:
                assert database.rows(END_ALL.replace(", 2000", ""))
            load.more(20)
    assert set(load.answers) == {"POST 202", "GET 200"}, load.answers
    assert database.one("SELECT count(*) FROM jobs") == len(load.accepted)
    assert database.one("SELECT count(*) FROM jobs WHERE id = ANY(%s::uuid[])", (load.accepted,)) == len(load.accepted)
    database.close()


def test_idle_connections_that_the_server_has_ended_are_not_noticed_by_the_next_client(system: System) -> None:
    """Every kind of request as the first one after the cut; a batch of ten thousand is stored once."""
    system.api()
    job_id = system.submit("square_sum", 1)
    for path in ("", "/status", "/result"):
        assert system.database.rows(END_ALL)
        assert system.client.get(f"/jobs/{job_id}{path}").status_code == 200
    assert system.database.rows(END_ALL)
    assert system.client.get("/readyz").status_code == 200
    assert system.database.rows(END_ALL)
    assert system.client.post("/jobs/", json=GOOD).status_code == 202
    assert system.database.rows(END_ALL)
    answers: list[int] = []
    batch = threading.Thread(target=lambda: answers.append(system.client.post("/jobs/batch", json=[GOOD] * 10_000).status_code))
    batch.start()
    began = time.monotonic()
    while batch.is_alive() and time.monotonic() < began + 0.3:
        system.database.rows(END_ALL)
    batch.join(20)
    assert answers == [202]
    assert system.database.one("SELECT count(*) FROM jobs") == 10_002


def test_a_missing_partition_is_made_by_the_api(system: System) -> None:
    """The controller has been away for days; nobody waits for an operator."""
    system.api()
    partitions = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN ('jobs'::regclass, 'outcomes'::regclass, 'attempts'::regclass)"
    for batch in (False, True):
        for (table,) in system.database.rows(partitions):
            system.database.rows(f"DROP TABLE {table}")
        system.database.rows("TRUNCATE live")
        began = time.monotonic()
        job_ids = system.submit_many("square_sum", [[1.0]] * 3) if batch else [system.submit("square_sum", 1)]
        assert time.monotonic() - began < 2
        assert [system.status(job_id) for job_id in job_ids] == ["PENDING"] * len(job_ids)
    system.worker()
    system.wait_all()
    assert [system.status(job_id) for job_id in job_ids] == ["SUCCESS"] * 3
