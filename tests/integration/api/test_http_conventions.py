"""HTTP conventions: HEAD, conditional requests, compression, CORS, request ids."""

import gzip
import http.client
import socket
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import psycopg2
import pytest
from rig.system import System, until

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
PAGE = "https://app.example"
BIG = [1.5] * 2_000


def raw(system: System, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Send a request without an HTTP client that decompresses or adds headers."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    received = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    connection.close()
    return received


def test_head_gets_the_response_of_get_without_its_body(shared_system: System) -> None:
    job_id = shared_system.submit("square_sum", *BIG)
    paths = [
        "/jobs",
        f"/jobs/{job_id}",
        f"/jobs/{job_id}/status",
        f"/jobs/{job_id}/result",
        "/stats",
        "/livez",
        "/readyz",
        "/docs",
        "/openapi.json",
    ]
    paths += ["/docs/static/swagger-ui.css", f"/jobs/{UNKNOWN}", "/jobs/zebra", "/nothing"]
    varies = {"date", "x-request-id", "transfer-encoding"}  # transfer-encoding describes a body
    for path in paths:
        for headers in ({}, {"Accept_Encoding": "gzip"}):
            get, head = (raw(shared_system, method, path, **headers) for method in ("GET", "HEAD"))
            assert (head[0], head[2]) == (get[0], b""), path
            assert {name: value for name, value in head[1].items() if name not in varies} == {
                name: value for name, value in get[1].items() if name not in varies
            }, path


def test_a_keepalive_connection_serves_further_requests_after_head(shared_system: System) -> None:
    with socket.create_connection(("127.0.0.1", shared_system.port), timeout=5) as wire:
        wire.sendall(
            b"HEAD /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
            b"HEAD /docs/static/swagger-ui.css HTTP/1.1\r\nHost: a\r\n\r\n"
            b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        received = b""
        while b'{"alive":true}' not in received:
            received += wire.recv(65_536)
    assert received.count(b"HTTP/1.1 200 OK") == 3


def test_head_is_not_allowed_where_get_is_not(shared_system: System) -> None:
    assert raw(shared_system, "HEAD", "/jobs/batch")[0] == 405


@pytest.mark.parametrize("path", ["/jobs/{}", "/jobs/{}/status", "/jobs/{}/result"])
def test_a_conditional_request_gets_304_until_the_job_changes(system: System, path: str) -> None:
    system.api()
    path = path.format(system.submit("square_sum", 3))

    def request(tag: str | None = None, method: str = "GET") -> httpx.Response:
        return system.client.request(method, path, headers={} if tag is None else {"If-None-Match": tag})

    first = request()
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (tag, tag.removeprefix("W/"), f'"a", {tag} , W/"b"', "*"):
        for method in ("GET", "HEAD"):
            same = request(known, method)
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), known
            assert "content-length" not in same.headers
    for other in ('"a"', 'W/"0.0"', tag.replace("0.", "1."), "", "PENDING", tag[:-1]):
        assert request(other).status_code == 200, other
    system.database.rows("UPDATE live SET claimable_at = now() + interval '1 h'")
    assert request(tag).status_code == 200, "a change of the due time changes the state, but not the revision"
    system.database.rows("UPDATE live SET claimable_at = now() - interval '1 h'")
    system.worker()
    system.wait_all()
    ended = request(tag)
    assert ended.status_code == 200
    assert ended.headers["etag"] != tag
    assert request(ended.headers["etag"]).status_code == 304


def test_a_large_response_is_compressed_for_a_client_that_accepts_gzip(shared_system: System) -> None:
    job_id = shared_system.submit("square_sum", *BIG)
    path = f"/jobs/{job_id}"
    plain = raw(shared_system, "GET", path)
    assert "content-encoding" not in plain[1]
    assert "Accept-Encoding" in plain[1]["vary"]
    for accepted in ("gzip", "br, gzip;q=0.5", "GZIP".lower(), "deflate, gzip"):
        status, headers, body = raw(shared_system, "GET", path, Accept_Encoding=accepted)
        assert (status, headers["content-encoding"], gzip.decompress(body)) == (200, "gzip", plain[2]), accepted
        assert len(body) < len(plain[2]) / 5
        assert "Accept-Encoding" in headers["vary"]
    for accepted in ("identity", "br", "gzip;q=0", "gzip; q=0.000, br", "", "x"):
        status, headers, body = raw(shared_system, "GET", path, Accept_Encoding=accepted)
        assert (status, headers.get("content-encoding"), body) == (200, None, plain[2]), accepted
        assert "Accept-Encoding" in headers["vary"]
    assert "content-encoding" not in raw(shared_system, "GET", f"{path}/status", Accept_Encoding="gzip")[1], (
        "a small response would grow"
    )
    response = shared_system.client.post(
        "/jobs/batch", json=[{"data": [1], "operation": "square_sum"}] * 200, headers={"Accept-Encoding": "gzip"}
    )
    assert "content-encoding" not in response.headers, "responses to submissions are never compressed"
    tagged = raw(shared_system, "GET", path, Accept_Encoding="gzip", If_None_Match=plain[1]["etag"])
    assert (tagged[0], tagged[2]) == (304, b""), "the ETag is weak: plain and compressed responses share it"


def test_compression_can_be_switched_off(system: System) -> None:
    system.api(JOBPROC_COMPRESSION_MIN_BYTES="0")
    assert "content-encoding" not in raw(system, "GET", "/openapi.json", Accept_Encoding="gzip")[1]


def test_pages_of_other_origins_may_call_the_api_only_if_the_operator_allows_their_origin(
    system: System, assert_problem: Callable[..., Any]
) -> None:
    preflight = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-request-id",
    }
    system.api()
    assert_problem(system.client.options("/jobs/", headers=preflight), 405, "method-not-allowed")
    assert not [
        name
        for name in system.client.get("/livez", headers={"Origin": PAGE}).headers
        if name.startswith("access-control")
    ]
    system.end("api")
    system.api("open", JOBPROC_CORS_ORIGINS=f"{PAGE}, http://127.0.0.1:3000")
    allowed = system.client.options("/jobs/", headers=preflight)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "POST" in allowed.headers["access-control-allow-methods"]
    response = system.client.get(f"/jobs/{UNKNOWN}", headers={"Origin": PAGE})
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (404, PAGE)
    assert "Origin" in response.headers["vary"]
    assert {"ETag", "Link", "X-Request-ID"} <= set(response.headers["access-control-expose-headers"].split(", "))
    for origin in ("https://evil.example", f"{PAGE}.evil.example", "null"):
        assert "access-control-allow-origin" not in system.client.get("/livez", headers={"Origin": origin}).headers
        assert system.client.options("/jobs/", headers=preflight | {"Origin": origin}).status_code == 400


def test_a_request_keeps_its_request_id_or_gets_a_new_one(shared_system: System) -> None:
    for method, path in (
        ("GET", "/livez"),
        ("POST", "/jobs/"),
        ("GET", "/jobs/zebra"),
        ("GET", "/nothing"),
        ("HEAD", "/jobs"),
        ("PUT", "/jobs/"),
    ):
        request_id = f"a1-{uuid.uuid4()}:/+=@_."
        assert (
            shared_system.client.request(method, path, headers={"X-Request-ID": request_id}).headers["x-request-id"]
            == request_id
        )
    for bad in ("", "a b", "a" * 129, "<b>", "é".encode().decode("latin-1"), 'a"'):
        response = shared_system.client.get("/livez", headers={b"X-Request-ID": bad.encode("latin-1")})
        assert response.headers["x-request-id"] not in ("", bad)
    generated = [shared_system.client.get("/livez").headers["x-request-id"] for _ in range(3)]
    assert len(set(generated)) == 3


def test_the_log_lines_of_a_request_carry_its_request_id_and_no_other(system: System) -> None:
    system.api(JOBPROC_ACCESS_LOG="true", JOBPROC_DATABASE_TIMEOUT_SECONDS="1")
    system.client.post("/jobs/", json={"data": [1], "operation": "square_sum"}, headers={"X-Request-ID": "first"})
    system.client.get("/jobs", headers={"X-Request-ID": "second"})
    with psycopg2.connect(system.database.url) as locks:
        locks.cursor().execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        assert system.client.get("/jobs", headers={"X-Request-ID": "third"}).status_code == 503
        late = system.client.post(
            "/jobs/", json={"data": [1], "operation": "square_sum"}, headers={"X-Request-ID": "fourth"}
        )
        assert late.status_code == 503
    locks.close()

    def of_jobs() -> list[dict[str, Any]]:
        return [line for line in system.events("api", "request") if line["method"] != "GET" or line["route"] == "/jobs"]

    requests = until("the last request is logged", lambda: lines if len(lines := of_jobs()) == 4 else None)
    assert [line["request_id"] for line in requests] == ["first", "second", "third", "fourth"]
    assert [line["request_id"] for line in system.events("api", "read_timeout")] == ["third"]
    unavailable = [line.get("request_id") for line in system.events("api", "database_unavailable")]
    assert "fourth" not in unavailable, "a group commit belongs to many requests"


def test_an_internal_error_is_a_problem_with_request_id_and_cors_headers(
    system: System, assert_problem: Callable[..., Any]
) -> None:
    system.api(JOBPROC_CORS_ORIGINS=PAGE)
    job_id = system.submit("square_sum", 1)
    system.database.rows("DROP VIEW job_states; CREATE VIEW job_states AS SELECT id FROM jobs")
    response = system.client.get(f"/jobs/{job_id}/status", headers={"X-Request-ID": "broken", "Origin": PAGE})
    assert_problem(response, 500, "internal")
    assert response.headers.get_list("x-request-id") == ["broken"]
    assert response.headers["access-control-allow-origin"] == PAGE
    head = system.client.head(f"/jobs/{job_id}/status", headers={"X-Request-ID": "broken"})
    assert (head.status_code, head.content) == (500, b"")
    assert [line["request_id"] for line in system.events("api", "request_failed")] == ["broken"] * 2
