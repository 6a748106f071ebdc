"""Requests made to read files, forge cursors and log lines, fill the metrics, or learn internals from errors."""

import json
import random
import re
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from rig.project_files import ROOT
from rig.scrape import MetricsPage
from rig.system import System, until

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
JSON = {"Content-Type": "application/json"}
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")  # all but the end of a line


def exchange(wire: Callable[..., Any], system: System, method: str, path: str, *lines: str) -> httpx.Response:
    """Send a request as it is, without a client that normalises its path or headers."""
    connection = wire(system)
    request = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: api", *lines, "", ""])
    response: httpx.Response = connection.send(request.encode("latin-1")).read_response()
    connection.close()
    return response


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "../../../../../../etc/passwd",
        "%2e%2e/%2e%2e/fastapi_offline/__init__.py",
        "..%2f..%2f__init__.py",
        "%252e%252e%252f__init__.py",
        "%252e%252e/__init__.py",
        "..%5c__init__.py",
        "..\\__init__.py",
        "%5c%5cetc%5cpasswd",
        "....//__init__.py",
        "..;/__init__.py",
        "%c0%ae%c0%ae/__init__.py",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "//etc/passwd",
        "swagger-ui.css/../../__init__.py",
        "swagger-ui.css%00",
        "%00",
        "../__init__.py%00.css",
        "%ff",
        "%",
        "a" * 5_000,
        "a/" * 2_000,
        ".",
        "",
    ],
)
def test_only_static_files_of_the_documentation_are_served(
    read_only_system: System, wire: Callable[..., Any], assert_problem: Callable[..., Any], path: str
) -> None:
    assert_problem(exchange(wire, read_only_system, "GET", f"/docs/static/{path}"), 404, "not-found")


def test_a_cursor_with_any_bit_changed_is_refused(shared_system: System, assert_problem: Callable[..., Any]) -> None:
    shared_system.submit_many("square_sum", [[1.0]] * 2)
    following = urlsplit(shared_system.client.get("/jobs", params={"limit": 1}).json()["next"])
    (cursor,) = parse_qs(following.query)["cursor"]
    assert shared_system.client.get("/jobs", params={"limit": 1, "cursor": cursor}).status_code == 200
    for index, letter in enumerate(cursor.encode()):
        for bit in range(8):
            changed = cursor.encode()[:index] + bytes([letter ^ 1 << bit]) + cursor.encode()[index + 1 :]
            escaped = "".join(f"%{byte:02x}" for byte in changed)
            response = shared_system.client.get(f"/jobs?limit=1&cursor={escaped}")
            assert_problem(response, 422, "invalid-parameter")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_each_event_stays_one_line_without_control_characters(
    system: System, wire: Callable[..., Any], log_format: str
) -> None:
    system.api(JOBPROC_ACCESS_LOG="true", JOBPROC_LOG_FORMAT=log_format)
    forged = '{"event": "forged"}'
    # A request id is ASCII on the wire; the parser of HTTP refuses CR and LF in a header.
    texts = ["\x1b[31mred", f"%0d%0a{forged}", "%1b%5b2J", "\x85", "\x9b2J", "é", "%e2%80%a8", "A" * 2_500]
    sent = 0
    for text in texts:
        for lines in (
            (f"X-Request-ID: {text}",),
            (f"traceparent: {text}", f"User-Agent: {text}"),
            (f"Referer: {text}",),
        ):
            path = f"/jobs/{text if text.isascii() and text.isprintable() else 'x'}?{'q' * len(text)}"
            sent += exchange(wire, system, "GET", path, *lines).status_code in (400, 404, 422)
    assert sent == 3 * len(texts)
    bodies: list[Any] = [{"operation": text, "data": [1], text: 1, "tags": [text]} for text in texts]
    for body in bodies:
        assert system.client.post("/jobs/", json=body).status_code == 422
    system.client.get("/stats", headers={"X-Request-ID": "last"})
    log = until("the last request is logged", lambda: "last" in system.log("api") and system.log("api"))
    assert "forged" not in log and "AAAA" not in log
    assert not CONTROL.search(log)
    events = [json.loads(line)["event"] for line in log.splitlines()] if log_format == "json" else log.splitlines()
    assert all(len(line) < 1_000 for line in log.splitlines()[1:])
    assert sum("request" in event for event in events) >= len(bodies) + 1


def test_random_requests_add_no_series(system: System) -> None:
    page, chance = MetricsPage(), random.Random(20261130)
    system.api(JOBPROC_METRICS_PORT=page.port)

    def text() -> str:
        return "".join(chance.choices(string.ascii_lowercase, k=12))

    def send_random_requests() -> None:
        for method in ("GET", "POST", "PUT", "PROPFIND", "MKCOL", "PURGE"):
            for path in (f"/{text()}", f"/jobs/{text()}", f"/jobs/{UNKNOWN}/{text()}", f"/docs/static/{text()}"):
                system.client.request(method, path, headers={"X-Request-ID": text(), "Host": f"{text()}.example"})
                system.client.request(method, path, headers={"X-Request-ID": text()})
        for _ in range(10):
            submission = {"operation": text(), "data": [1], "tags": [text()], "metadata": {text(): text()}}
            system.client.post("/jobs/", json=submission)
            system.client.post("/jobs/", json=submission | {"queue": text(), "operation": "square_sum"})
            system.client.post("/jobs/", json={"operation": "square_sum", "data": [1], "tags": [text()]})
            system.client.get("/jobs", params={"queue": text(), "operation": text(), "tag": text()})
            system.client.get(f"/jobs/{UNKNOWN}/result", params={"wait": "0", text(): text()})

    def accepted() -> float:
        return page.total("jobproc_jobs_accepted_total")

    send_random_requests()
    until("the first jobs are counted", lambda: accepted() == 10)
    series = set(page.samples())
    send_random_requests()
    until("the second jobs are counted", lambda: accepted() == 20)
    assert set(page.samples()) - series == set()


#: Of SQL, code, addresses, passwords, and software and its version.
INTERNALS = re.compile(
    r"SELECT|INSERT|UPDATE|DELETE FROM|relation \"|column \"|job_states"
    rf"|Traceback|File \"|\.py\b|site-packages|{re.escape(str(ROOT))}|/tmp/"
    r"|asyncpg|sqlalchemy|psycopg|celery|uvicorn|starlette|fastapi|pydantic|orjson|jiter|python"
    r"|postgres(ql)?:|redis:|127\.0\.0\.1|hidden|\b\d+\.\d+\.\d+\b",
    re.IGNORECASE,
)
GOOD = b'{"data":[1],"operation":"square_sum"}'
#: Method, path, body.
ERRORS = [
    ("GET", "/nothing", b""),
    ("PUT", "/jobs/", b"{}"),
    ("POST", "/jobs/", b"{"),
    ("POST", "/jobs/", b"[" * 5_000),
    ("POST", "/jobs/", b'{"data":[1e400],"operation":"square_sum"}'),
    ("POST", "/jobs/", b'{"data":["\\ud800"]}'),
    ("POST", "/jobs/", b'{"data":[1],"operation":"nope"}'),
    ("POST", "/jobs/", b'{"input":{"a":1},"operation":"square_sum"}'),
    ("POST", "/jobs/", b'{"data":[1],"operation":"square_sum","run_at":"x","backoff":7,"unique":[]}'),
    ("POST", "/jobs/?wait=x", GOOD),
    ("POST", "/jobs/batch", b"{}"),
    ("POST", "/bulk-actions", b'{"kind":"drop table"}'),
    ("POST", f"/bulk-actions/{UNKNOWN}/start", b""),
    ("GET", "/jobs/x'--", b""),
    ("GET", f"/jobs/{UNKNOWN}", b""),
    ("GET", f"/jobs/{UNKNOWN}/events", b""),
    ("GET", "/jobs?cursor=x&limit=0&status=x&created_after=x&error=%00", b""),
    ("GET", "/docs/static/%00", b""),
    ("POST", f"/jobs/{UNKNOWN}/cancel", b""),
    ("POST", f"/jobs/{UNKNOWN}/retry", b"7"),
    ("GET", "/readyz", b""),
    ("GET", "/stats", b""),
    ("GET", "/operations", b""),
]


def provoke(system: System) -> set[int]:
    """Send every request of ERRORS; return the statuses. Fails if a response shows internals."""
    statuses = set()
    for method, path, body in ERRORS:
        response = system.client.request(method, path, content=body, headers=JSON if body else {})
        statuses.add(response.status_code)
        assert response.status_code < 400 or not INTERNALS.search(response.text), (method, path, response.text)
        headers = {name: value for name, value in response.headers.items() if name not in ("date", "x-request-id")}
        assert not INTERNALS.search(str(headers)), (method, path, headers)
    return statuses


def test_no_error_shows_internals(system: System) -> None:
    system.api()
    assert provoke(system) >= {404, 405, 400, 422}


def test_no_error_shows_internals_while_the_database_is_unavailable(
    make_system: Callable[..., System], redis_url: str
) -> None:
    system = make_system("postgresql://hidden-user:hidden-password@127.0.0.1:1/hidden", redis_url)
    assert provoke(system.api()) >= {404, 405, 400, 422, 503}


def test_no_error_shows_internals_if_the_schema_is_broken(system: System) -> None:
    system.api()
    system.database.rows("DROP VIEW job_states; CREATE VIEW job_states AS SELECT id FROM jobs")
    assert provoke(system) >= {404, 405, 400, 422, 500}
