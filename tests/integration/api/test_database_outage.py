"""PostgreSQL stopped, hung, restarted or disconnected: 503 in time and nothing stored, or no error at all."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self

import httpx
import psycopg2
import pytest
from rig.proxy import Proxy
from rig.system import Database, System, until

from tools.servers import Postgres

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
GOOD = {"data": [1, 2, 3], "operation": "square_sum"}
LIMIT_S = 1.0  # JOBPROC_DATABASE_TIMEOUT_SECONDS of these tests
SLACK_S = 1.0  # over the limit, for a busy machine
TERMINATE_ALL = """SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
WHERE usename = 'jobproc_test_api' AND datname = current_database()"""


def assert_unavailable(system: System, assert_problem: Callable[..., Any]) -> None:
    """Check that concurrent requests of every kind get 503 in time."""
    requests: list[tuple[str, str, Any]] = [
        ("GET", f"/jobs/{UNKNOWN}{path}", None) for path in ("", "/status", "/result")
    ]
    requests += [("POST", f"/jobs/{UNKNOWN}/{verb}", None) for verb in ("cancel", "retry")]
    requests += [("POST", "/jobs/", GOOD), ("POST", "/jobs/batch", [GOOD, GOOD])]
    with ThreadPoolExecutor(len(requests)) as clients:
        responses = list(
            clients.map(lambda request: system.client.request(request[0], request[1], json=request[2]), requests)
        )
    for response in responses:
        assert_problem(response, 503, "store-unavailable")
        assert int(response.headers["retry-after"]) >= 1
        assert response.elapsed.total_seconds() < LIMIT_S + SLACK_S, response.request.url
    assert system.client.get("/readyz").status_code == 503
    assert system.client.get("/livez").status_code == 200


def test_requests_get_503_in_time_while_the_database_is_down_and_nothing_is_stored(
    make_system: Callable[..., System], own_postgres: Postgres, redis_url: str, assert_problem: Callable[..., Any]
) -> None:
    """The database is down at the start of the API, then up, then down again; the API is never restarted."""
    own_postgres.stop()
    system = make_system(own_postgres.url(), redis_url, JOBPROC_DATABASE_TIMEOUT_SECONDS=str(LIMIT_S)).api()
    assert_unavailable(system, assert_problem)
    own_postgres.start()
    job_id = system.submit("square_sum", 1)
    assert system.status(job_id) == "PENDING"
    assert system.client.get("/readyz").status_code == 200
    own_postgres.stop()
    logged = len(system.events("api", "database_unavailable"))
    assert system.client.get(f"/jobs/{UNKNOWN}").status_code == 503
    assert len(system.events("api", "database_unavailable")) > logged, "a failed read is logged"
    assert_unavailable(system, assert_problem)
    own_postgres.start()
    assert system.status(job_id) == "PENDING"
    assert system.database.value("SELECT count(*) FROM jobs") == 1
    assert not system.events("api", "request_failed")


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """Start a proxy in front of PostgreSQL."""
    with Proxy.before(database_url) as proxy:
        yield proxy


def test_requests_get_503_in_time_while_the_database_hangs(
    make_system: Callable[..., System],
    proxy: Proxy,
    database_url: str,
    redis_url: str,
    assert_problem: Callable[..., Any],
) -> None:
    """Connections stay open and new ones are accepted, but there are no replies."""
    system = make_system(proxy.url_of(database_url), redis_url, JOBPROC_DATABASE_TIMEOUT_SECONDS=str(LIMIT_S)).api()
    system.submit("square_sum", 1)
    proxy.hang()
    assert_unavailable(system, assert_problem)
    proxy.heal()
    until("submissions are accepted again", lambda: system.client.post("/jobs/", json=GOOD).status_code == 202, 5)
    assert system.client.get(f"/jobs/{UNKNOWN}").status_code == 404


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/batch"])
def test_a_submission_refused_because_of_a_slow_database_is_not_stored_later(
    system: System, assert_problem: Callable[..., Any], path: str
) -> None:
    """A lock delays the insert beyond the timeout. After its release the submission that got 503 is not stored."""
    system.api(JOBPROC_DATABASE_TIMEOUT_SECONDS=str(LIMIT_S))
    system.submit("square_sum", 1)
    with locked(system, "live"):
        response = system.client.post(path, json=GOOD if path == "/jobs/" else [GOOD, GOOD])
        assert_problem(response, 503, "store-unavailable")
        assert response.elapsed.total_seconds() < LIMIT_S + SLACK_S
    until(
        "no insert is running",
        lambda: (
            not system.database.value(
                """SELECT count(*) FROM pg_stat_activity
                   WHERE query ~ 'INTO live' AND state = 'active' AND pid <> pg_backend_pid()"""
            )
        ),
    )
    assert system.database.value("SELECT count(*) FROM jobs") == 1
    system.submit("square_sum", 1)


@contextmanager
def locked(system: System, table: str) -> Iterator[None]:
    """Hold a lock that blocks inserts into a table."""
    connection = psycopg2.connect(system.database.url)
    try:
        connection.cursor().execute(f"LOCK TABLE {table} IN SHARE MODE")
        yield
    finally:
        connection.close()


class Load:
    """Clients that each submit a job and read its status in a loop, until the end of the block."""

    def __init__(self, system: System, clients: int = 6) -> None:
        self.system = system
        self.responses: Counter[str] = Counter()
        self.accepted: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        with httpx.Client(base_url=self.system.client.base_url, timeout=15) as client:
            while not self._stop.is_set():
                response = self._request(client, "POST", "/jobs/", GOOD)
                if response is not None and response.status_code == 202:
                    self.accepted.append(response.json()["job_id"])
                    self._request(client, "GET", f"/jobs/{self.accepted[-1]}/status")

    def _request(self, client: httpx.Client, method: str, path: str, body: Any = None) -> httpx.Response | None:
        try:
            response = client.request(method, path, json=body)
        except httpx.TransportError as error:
            self.responses[f"{method} {type(error).__name__}"] += 1
            return None
        problem = response.headers["content-type"] == "application/problem+json"
        self.responses[f"{method} {response.status_code}" + (" problem" if problem else "")] += 1
        return response

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        until("submissions flow", lambda: len(self.accepted) > 50)
        return self

    def wait_for_more(self, jobs: int = 50) -> None:
        """Wait until this number of further jobs has been accepted."""
        target = len(self.accepted) + jobs
        until("submissions flow again", lambda: len(self.accepted) >= target)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_restart_of_the_database_under_load_loses_and_doubles_nothing(
    make_system: Callable[..., System], own_postgres: Postgres, redis_url: str, sign: signal.Signals
) -> None:
    system = make_system(own_postgres.url(), redis_url).api()
    with Load(system) as load:
        own_postgres.stop(sign)
        own_postgres.start()
        load.wait_for_more()
    assert set(load.responses) <= {"POST 202", "GET 200", "POST 503 problem", "GET 503 problem"}, load.responses
    stored = {str(row[0]) for row in system.database.rows("SELECT id FROM jobs")}
    assert len(load.accepted) == len(set(load.accepted))
    assert set(load.accepted) <= stored, "every accepted job is stored"
    assert stored <= set(load.accepted), "no refused job is stored"
    assert not system.events("api", "request_failed")


@pytest.mark.parametrize("cut", ["ended by the server", "reset on the way"])
def test_lost_connections_are_replaced_without_an_error(
    make_system: Callable[..., System], proxy: Proxy, database_url: str, redis_url: str, cut: str
) -> None:
    """All connections are lost repeatedly under load. No client gets an error, and the API is not restarted."""
    system = make_system(proxy.url_of(database_url), redis_url).api()
    database = Database(database_url)
    with Load(system) as load:
        for _ in range(12):
            if cut == "reset on the way":
                assert proxy.connections > 0
                proxy.reset()
            else:
                assert database.rows(TERMINATE_ALL.replace(", 2000", ""))
            load.wait_for_more(20)
    assert set(load.responses) == {"POST 202", "GET 200"}, load.responses
    assert database.value("SELECT count(*) FROM jobs") == len(load.accepted)
    assert database.value("SELECT count(*) FROM jobs WHERE id = ANY(%s::uuid[])", (load.accepted,)) == len(
        load.accepted
    )
    database.close()


def test_idle_connections_terminated_by_the_server_cause_no_error_for_the_next_client(system: System) -> None:
    """Each kind of request is the first after a termination; a batch of ten thousand is stored once."""
    system.api()
    job_id = system.submit("square_sum", 1)
    for path in ("", "/status", "/result"):
        assert system.database.rows(TERMINATE_ALL)
        assert system.client.get(f"/jobs/{job_id}{path}").status_code == 200
    assert system.database.rows(TERMINATE_ALL)
    assert system.client.get("/readyz").status_code == 200
    assert system.database.rows(TERMINATE_ALL)
    assert system.client.post("/jobs/", json=GOOD).status_code == 202
    assert system.database.rows(TERMINATE_ALL)
    responses: list[int] = []
    batch = threading.Thread(
        target=lambda: responses.append(system.client.post("/jobs/batch", json=[GOOD] * 10_000).status_code)
    )
    batch.start()
    began = time.monotonic()
    while batch.is_alive() and time.monotonic() < began + 0.3:
        system.database.rows(TERMINATE_ALL)
    batch.join(20)
    assert responses == [202]
    assert system.database.value("SELECT count(*) FROM jobs") == 10_002


def test_a_missing_partition_is_created_by_the_api(system: System) -> None:
    """Even if the controller has not run for days."""
    system.api()
    partitions = """SELECT inhrelid::regclass::text FROM pg_inherits
        WHERE inhparent IN ('jobs'::regclass, 'outcomes'::regclass, 'attempts'::regclass)"""
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
