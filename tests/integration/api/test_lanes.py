"""Expensive reads that hang leave connections to all other requests, and are bounded themselves."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg2
from integration.api.conftest import QUICK_S, Wire
from rig.scrape import MetricsPage
from rig.system import System, until

EXPENSIVE_READS = 12
GOOD = {"data": [1, 2, 3], "operation": "square_sum"}
#: Limits that no test reaches.
HANGING = {
    "JOBPROC_DATABASE_TIMEOUT_SECONDS": "60",
    "JOBPROC_EXPENSIVE_READ_TIMEOUT_SECONDS": "40",
    "JOBPROC_EXPENSIVE_READ_MAX_WAIT_SECONDS": "40",
}
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
PATHS = (b"/jobs/", b"/bulk-actions", b"/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10/explain")
LANE_REQUESTS = "jobproc_database_lane_requests"


@contextmanager
def locked(system: System, *tables: str) -> Iterator[None]:
    """Hold a lock that blocks every read of these tables."""
    connection = psycopg2.connect(system.database.url)
    try:
        connection.cursor().execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        connection.close()


@contextmanager
def hanging_reads(system: System, count: int = EXPENSIVE_READS) -> Iterator[list[httpx.Response]]:
    """Send expensive reads that hang during the block. Yield the list of their responses, complete after the block."""
    responses: list[httpx.Response] = []

    def read() -> None:
        responses.append(httpx.get(f"{system.client.base_url}/bulk-actions", timeout=60))

    threads = [threading.Thread(target=read) for _ in range(count)]
    with locked(system, "bulk_actions"):
        for thread in threads:
            thread.start()
        until("expensive reads hang", lambda: system.database.value(BLOCKED) >= 2)
        yield responses
    for thread in threads:
        thread.join()


def test_hanging_expensive_reads_delay_no_other_request(system: System) -> None:
    system.api(JOBPROC_MAX_QUEUE_AGE_SECONDS="3600", **HANGING)
    job_id = system.submit("square_sum", 1)
    requests: list[tuple[str, str, Any, int]] = [
        ("GET", "/readyz", None, 200),
        ("POST", "/jobs/", GOOD, 202),
        ("POST", "/jobs/batch", [GOOD, GOOD], 202),
        ("POST", "/jobs/?wait=0.1", GOOD, 202),
        *[("GET", f"/jobs/{job_id}{path}", None, 200) for path in ("", "/status", "/result", "/result?wait=0.1")],
        ("POST", f"/jobs/{job_id}/cancel", None, 200),
        ("POST", f"/jobs/{job_id}/retry", None, 202),
    ]
    with hanging_reads(system) as responses:
        for method, path, body, status in requests:
            response = system.client.request(method, path, json=body)
            assert response.status_code == status, (path, response.text)
            assert response.elapsed.total_seconds() < QUICK_S, path
        keyed = system.client.post("/jobs/", json=GOOD, headers={"Idempotency-Key": "a"})
        assert (keyed.status_code, keyed.elapsed.total_seconds() < QUICK_S) == (202, True)
        assert responses == [], "the expensive reads still hang"
    assert [response.status_code for response in responses] == [200] * EXPENSIVE_READS


def test_expensive_reads_are_refused_at_once_while_too_many_wait(
    system: System, assert_problem: Callable[..., Any]
) -> None:
    page = MetricsPage()
    system.api(JOBPROC_METRICS_PORT=page.port, JOBPROC_EXPENSIVE_READ_MAX_WAITING_CLIENTS="2", **HANGING)
    with hanging_reads(system, 4):
        until("two reads wait", lambda: page.value(LANE_REQUESTS, lane="expensive", state="waiting") == 2)
        assert page.value(LANE_REQUESTS, lane="expensive", state="in_use") == 2
        for path in ("/jobs", "/bulk-actions", "/stats", "/operations"):
            response = system.client.get(path)
            assert_problem(response, 503, "too-many-reads")
            assert response.elapsed.total_seconds() < QUICK_S
    assert page.value("jobproc_database_lane_refused_total", lane="expensive") == 4
    assert system.client.get("/jobs").status_code == 200


def test_an_expensive_read_waits_for_a_limited_time(system: System, assert_problem: Callable[..., Any]) -> None:
    system.api(**HANGING | {"JOBPROC_EXPENSIVE_READ_MAX_WAIT_SECONDS": "0.2"})
    with hanging_reads(system, 2):
        assert_problem(system.client.get("/jobs"), 503, "too-many-reads")


def test_a_client_that_disconnects_frees_its_place_in_the_queue(system: System, wire: Callable[[System], Wire]) -> None:
    page = MetricsPage()
    system.api(JOBPROC_METRICS_PORT=page.port, JOBPROC_EXPENSIVE_READ_MAX_WAITING_CLIENTS="3", **HANGING)

    def waiting() -> float | None:
        return page.value(LANE_REQUESTS, lane="expensive", state="waiting")

    with hanging_reads(system, 2):
        clients = [wire(system).send(b"GET %b HTTP/1.1\r\nHost: api\r\n\r\n" % path) for path in PATHS]
        until("all wait", lambda: waiting() == len(PATHS))
        for client in clients:
            client.close()
        until("none waits any longer", lambda: waiting() == 0)
    assert not system.events("api", "request_failed")


def test_an_expensive_read_that_takes_too_long_is_ended_with_advice(
    system: System, assert_problem: Callable[..., Any]
) -> None:
    system.api(JOBPROC_EXPENSIVE_READ_TIMEOUT_SECONDS="0.2")
    job_id = system.submit("square_sum", 1)
    requests = [
        ("GET", "/jobs?tag=a", None),
        ("POST", "/bulk-actions", {"action": "cancel", "filter": {"tag": "a"}}),
        ("GET", "/bulk-actions", None),
        ("GET", f"/jobs/{job_id}/explain", None),
        ("GET", "/operations", None),
        ("GET", "/stats", None),
    ]
    with locked(system, "tags", "bulk_actions", "unique_keys", "workers"), ThreadPoolExecutor(len(requests)) as clients:
        began = time.monotonic()
        for response in clients.map(lambda request: system.client.request(*request[:2], json=request[2]), requests):
            body = assert_problem(response, 503, "read-timeout")
            assert "0.2 s" in body["detail"]
            assert "Narrow the filter" in body["detail"]
        assert time.monotonic() - began < 3 * QUICK_S
        assert system.database.value(BLOCKED) == 0, "no statement goes on"
    assert system.client.get(f"/jobs/{job_id}/explain").status_code == 200
    assert not system.events("api", "request_failed")
