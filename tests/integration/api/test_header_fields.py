"""Header fields: preflights of pages, lists in several lines, bodies in chunks, and clients of HTTP/1.0."""

import gzip
import socket

import orjson
import pytest
from rig.system import System

from api.web.browser_guard import PAGE_REQUEST_HEADERS, PAGE_RESPONSE_HEADERS

PAGE = "https://app.example"
GOOD = {"data": [3], "operation": "square_sum"}
EMPTY_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"


def exchange(system: System, request: bytes) -> bytes:
    """Send bytes and return all that the API sends until it closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", system.port), timeout=10) as connection:
        connection.sendall(request)
        while data := connection.recv(65_536):
            received += data
    return received


def one_request(start: str, *lines: str) -> bytes:
    return "\r\n".join([f"{start} HTTP/1.1", "Host: api", "Connection: close", *lines, "", ""]).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_page_may_send_and_read_the_fields_of_the_lists(system: System) -> None:
    """Among them Last-Event-ID, without which a page cannot resume an event stream."""
    system.api(JOBPROC_CORS_ORIGINS=PAGE)
    for field in PAGE_REQUEST_HEADERS:
        preflight = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": field.lower(),
        }
        assert system.client.options("/jobs/", headers=preflight).status_code == 200, field
    submitted = [
        system.client.post("/jobs/", json=GOOD, headers={"Origin": PAGE, "Idempotency-Key": "a"}) for _ in range(2)
    ]
    assert submitted[1].headers["idempotency-replayed"] == "true"
    assert set(submitted[1].headers["access-control-expose-headers"].split(", ")) == set(PAGE_RESPONSE_HEADERS)


def test_a_replay_says_so_with_and_without_a_wait(system: System) -> None:
    system.api()

    def replayed(query: str) -> tuple[int, str | None]:
        response = system.client.post(f"/jobs/{query}", json=GOOD, headers={"Idempotency-Key": "a"})
        return response.status_code, response.headers.get("idempotency-replayed")

    assert replayed("?wait=0.1") == (202, None)
    assert replayed("?wait=0.1") == (200, "true"), "the job has not ended in time"
    system.worker()
    system.wait_all()
    assert replayed("?wait=5") == replayed("") == (200, "true")


def test_a_list_may_come_in_several_lines(shared_system: System) -> None:
    job_id = shared_system.submit("square_sum", *[1.5] * 2_000)
    path = f"/jobs/{job_id}"
    tag = shared_system.client.get(path).headers["etag"]
    known = exchange(shared_system, one_request(f"GET {path}", 'If-None-Match: "a"', f"If-None-Match: {tag}"))
    assert status(known) == 304
    for lines in (["br", "gzip"], ["gzip", "br"]):
        answer = exchange(
            shared_system, one_request(f"GET {path}", *(f"Accept-Encoding: {coding}" for coding in lines))
        )
        assert b"content-encoding: gzip" in answer, lines
        assert gzip.decompress(answer.partition(b"\r\n\r\n")[2]).startswith(b"{")
    refused = exchange(shared_system, one_request(f"GET {path}", "Accept-Encoding: br", "Accept-Encoding: gzip;q=0"))
    assert b"content-encoding" not in refused
    closing = b"GET /livez HTTP/1.1\r\nHost: api\r\nConnection: x\r\nConnection: close\r\n\r\n"
    assert status(exchange(shared_system, closing)) == 200, "the API closes the connection"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Content-Type: application/json", "Content-Type: text/plain"], 415),
        (["Content-Type: application/json", "Content-Encoding: gzip", "Content-Encoding: identity"], 415),
        (["Content-Type: application/json", "Idempotency-Key: a", "Idempotency-Key: b"], 422),
        (["Content-Type: application/json", "Host: evil.example"], 421),
        (["Content-Type: application/json", "Host: api"], 421),
        (["Content-Type: application/json", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin"], 403),
    ],
)
def test_a_field_that_is_no_list_is_refused_in_several_lines(
    shared_system: System, lines: list[str], expected: int
) -> None:
    """Whichever of the lines a proxy reads, it reads nothing else than the API."""
    body = orjson.dumps(GOOD)
    request = one_request("POST /jobs/", *lines, f"Content-Length: {len(body)}") + body
    assert status(exchange(shared_system, request)) == expected


def test_an_empty_body_in_chunks_is_no_body(shared_system: System) -> None:
    job_id = shared_system.submit("square_sum", 3)
    head = b"POST /jobs/%b/%b HTTP/1.1\r\nHost: api\r\nConnection: close\r\n"
    for verb in (b"cancel", b"cancel", b"retry", b"cancel"):
        answer = exchange(shared_system, head % (job_id.encode(), verb) + EMPTY_CHUNKED)
        assert status(answer) in (200, 202), answer
    full = b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    assert status(exchange(shared_system, head % (job_id.encode(), b"cancel") + full)) == 415
    assert status(exchange(shared_system, head % (job_id.encode(), b"retry") + full)) == 415


def test_an_answer_to_http_1_0_has_no_chunks(shared_system: System) -> None:
    job_id = shared_system.submit("square_sum", 3)
    shared_system.client.post(f"/jobs/{job_id}/cancel")
    for path in (f"/jobs/{job_id}/events", f"/jobs/{job_id}", "/openapi.json", "/docs/static/swagger-ui.css"):
        for accepted in (b"", b"Accept-Encoding: gzip\r\n"):
            answer = exchange(shared_system, b"GET %b HTTP/1.0\r\n%b\r\n" % (path.encode(), accepted))
            head, _, body = answer.partition(b"\r\n\r\n")
            assert status(head) == 200, path
            assert b"transfer-encoding" not in head.lower(), path
            assert b"connection: close" in head.lower()
            if b"content-length: " in head:
                assert int(head.split(b"content-length: ")[1].split(b"\r\n")[0]) == len(body)
            if path.endswith("/events"):
                text = gzip.decompress(body) if b"content-encoding: gzip" in head else body
                assert text.startswith(b"retry: 1000\n\n"), "no size of a chunk before it"
                assert b'"CANCELLED"' in text
