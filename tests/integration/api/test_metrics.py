"""Metrics and access log of the API about requests of clients."""

import time

import httpx
import pytest
from integration.api.support.answers import Connection
from rig.scrape import MetricsPage
from rig.system import System, until

UPGRADE = b"GET /livez HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@pytest.fixture
def page(system: System) -> MetricsPage:
    page = MetricsPage()
    system.api(JOBPROC_METRICS_PORT=page.port)
    return page


def test_requests_are_counted_by_the_template_of_their_route(system: System, page: MetricsPage) -> None:
    job = system.submit("square_sum", 1)
    for path in (f"/jobs/{job}/status", f"/jobs/{job}/status/", f"/jobs/{job}/result", f"/jobs/{job}"):
        assert system.client.get(path).status_code == 200
    system.client.get("/jobs/00000000-0000-7000-8000-000000000000")
    system.client.get("/nothing/here")
    system.client.request("PROPFIND", "/jobs/")
    system.client.post("/jobs/", content=b"{", headers={"Content-Type": "application/json"})
    requests = "jobproc_http_requests_total"
    # A request is counted after its response.
    until("the last request is counted", lambda: page.value(requests, method="POST", route="/jobs", status="400") == 1)
    assert page.value(requests, method="POST", route="/jobs", status="202") == 1
    assert page.value(requests, method="GET", route="/jobs/{job_id}/status", status="200") == 2
    assert page.value(requests, method="GET", route="/jobs/{job_id}", status="404") == 1
    assert page.value(requests, method="GET", route="other", status="404") == 1
    assert page.total(requests, method="other") == 1
    assert page.value("jobproc_http_request_duration_seconds_count", method="GET", route="/jobs/{job_id}/status") == 2
    until("no request is in progress", lambda: page.value("jobproc_http_requests_in_progress") == 0)


def test_no_text_of_a_client_becomes_a_label(system: System, page: MetricsPage) -> None:
    system.client.get("/secret-path")
    system.client.get("/jobs/secret-id")
    system.client.post("/jobs/", json={"data": [1], "operation": "secret-operation"})
    assert "secret" not in page.text().lower()


def test_accepted_jobs_and_their_commits_are_counted(system: System, page: MetricsPage) -> None:
    for _ in range(3):
        system.submit("square_sum", 1)
    system.submit_many("cube_sum", [[1.0]] * 40)
    until("the last commit is counted", lambda: page.total("jobproc_jobs_accepted_total") == 43)
    assert page.value("jobproc_jobs_accepted_total", operation="square_sum", queue="default") == 3
    assert page.value("jobproc_jobs_accepted_total", operation="cube_sum", queue="default") == 40
    assert page.value("jobproc_commit_jobs_count") == page.value("jobproc_commit_duration_seconds_count") == 3, (
        "only single submissions use the group commit"
    )
    assert page.value("jobproc_database_pool_connections", state="max") == 5
    until("the event loop is measured", lambda: page.total("jobproc_event_loop_lag_seconds_count") > 1)
    until("every doorbell has an outcome", lambda: page.total("jobproc_doorbells_total") >= 1)


def test_metrics_are_not_served_on_the_port_of_clients(system: System, page: MetricsPage) -> None:
    assert system.client.get("/metrics").status_code == 404
    assert httpx.get(f"http://127.0.0.1:{page.port}/jobs/").status_code == 404


def test_the_access_log_has_a_line_for_each_request(system: System) -> None:
    system.api(JOBPROC_ACCESS_LOG="true")
    job = system.submit("square_sum", 1)
    system.client.get(f"/jobs/{job}/status?secret=1")
    system.client.get("/secret")
    # A request is logged after its response.
    until("the last request is logged", lambda: any(line["status"] == 404 for line in system.events("api", "request")))
    lines = [line for line in system.events("api", "request") if line["route"] != "/livez"]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/jobs", 202),
        ("GET", "/jobs/{job_id}/status", 200),
        ("GET", "other", 404),
    ]
    assert all(0 < line["duration_ms"] < 10_000 for line in lines)
    assert "secret" not in system.log("api")


def test_refused_requests_are_counted_each_and_logged_once_a_second(system: System, page: MetricsPage) -> None:
    """Each was a warning, and an offer of an upgrade two."""
    began = time.monotonic()
    for _ in range(50):
        for raw in (b"BAD\r\n\r\n", UPGRADE):
            connection = Connection(system.port)
            assert connection.send(raw).answer() is not None
            connection.close()
    seconds = time.monotonic() - began
    assert page.value("jobproc_http_irregular_requests_total", reason="malformed") == 50
    assert page.value("jobproc_http_irregular_requests_total", reason="upgrade") == 50
    assert page.value("jobproc_http_irregular_requests_total", reason="head_bytes") == 0
    lines = system.events("api", "requests_refused")
    assert 1 <= len(lines) <= seconds + 1
    assert all(line["reason"] == "malformed" and line["count"] > 0 for line in lines)
    assert not system.events("api", "library_log")
