"""Requests that a web page makes the browser of a developer send: they change nothing, and read nothing."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from rig.system import System

PAGE = "https://app.example"
EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
UNKNOWN_NAMES = {"key_id": "4fGh7KqLw2Zx", "tenant_name": "nobody"}  # of what is not named by a UUID
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
#: What a form can send, and what a script can send without a preflight.
SIMPLE_TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None)


def routes(system: System, *methods: str) -> Iterator[tuple[str, str]]:
    """Yield method and path of each documented route."""
    for path, operations in system.client.get("/openapi.json").json()["paths"].items():
        for method in operations:
            if method in methods:
                yield method.upper(), re.sub(r"\{(\w+)\}", lambda part: UNKNOWN_NAMES.get(part[1], UNKNOWN), path)


def test_a_page_of_another_origin_cannot_change_state(
    read_only_system: System, assert_problem: Callable[..., Any]
) -> None:
    pairs = list(routes(read_only_system, "post", "put", "patch", "delete"))
    assert len(pairs) > 5
    for method, path in pairs:
        for headers in (EVIL, EVIL | {"Origin": "null"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "x"}):
            response = read_only_system.client.request(method, path, headers=headers)
            body = assert_problem(response, 403, "origin-not-allowed")
            assert "JOBPROC_CORS_ORIGINS" in body["detail"]
            assert "evil" not in response.text


def test_a_refused_page_leaves_a_job_as_it_is(shared_system: System) -> None:
    job_id = shared_system.submit("square_sum", 1)
    for headers in (EVIL, {"Origin": "https://evil.example"}):
        assert shared_system.client.post(f"/jobs/{job_id}/cancel", headers=headers).status_code == 403
    assert shared_system.client.get(f"/jobs/{job_id}/status").json() == {"status": "PENDING"}
    own = {"Origin": str(shared_system.client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert shared_system.client.post(f"/jobs/{job_id}/cancel", headers=own).json()["status"] == "CANCELLED"


def test_a_page_whose_name_was_pointed_at_the_api_gets_nothing(
    read_only_system: System, assert_problem: Callable[..., Any]
) -> None:
    paths = [*routes(read_only_system, "get", "post"), ("GET", "/docs"), ("GET", "/openapi.json"), ("PUT", "/nothing")]
    for method, path in paths:
        response = read_only_system.client.request(
            method, path, headers={"Host": "evil.example:8000", "Sec-Fetch-Site": "same-origin"}
        )
        assert "JOBPROC_ALLOWED_HOSTS" in assert_problem(response, 421, "host-not-allowed")["detail"]
        assert "evil" not in response.text


def test_a_body_that_is_not_json_is_refused_by_every_route_that_changes_state(
    read_only_system: System, assert_problem: Callable[..., Any]
) -> None:
    for method, path in routes(read_only_system, "post", "put", "patch", "delete"):
        for media in SIMPLE_TYPES:
            headers = {} if media is None else {"Content-Type": media}
            for content in (b"{}", iter([b"{}"])):  # with a length, and in chunks
                response = read_only_system.client.request(method, path, content=content, headers=headers)
                body = assert_problem(response, 415, "unsupported-media-type")
                assert "application/json" in body["detail"], path


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, identity", "x", "GZIP"])
def test_a_compressed_body_is_refused(
    read_only_system: System, assert_problem: Callable[..., Any], coding: str
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    for method, path in routes(read_only_system, "post"):
        response = read_only_system.client.request(method, path, content=b"{}", headers=headers)
        assert "Content-Encoding" in assert_problem(response, 415, "unsupported-media-type")["detail"], path
        assert response.headers["accept-encoding"] == "identity"


def test_an_identity_coding_is_no_compression(read_only_system: System, assert_problem: Callable[..., Any]) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "Identity"}
    assert_problem(read_only_system.client.post("/jobs/", content=b"{}", headers=headers), 422, "invalid-body")


def test_pages_of_listed_origins_and_clients_of_listed_hosts_are_served(system: System) -> None:
    system.api(JOBPROC_CORS_ORIGINS=PAGE, JOBPROC_ALLOWED_HOSTS="jobs.example, *.svc.example")
    for site in ("cross-site", "same-site"):
        for host in ("jobs.example", "jobproc-api.jobs.svc.example:8000"):
            headers = {"Origin": PAGE, "Sec-Fetch-Site": site, "Host": host}
            response = system.client.post("/jobs/", json={"data": [1], "operation": "square_sum"}, headers=headers)
            assert (response.status_code, response.headers["access-control-allow-origin"]) == (202, PAGE)
    assert system.client.post("/jobs/", json={}, headers=EVIL).status_code == 403
    assert system.client.get("/livez", headers={"Host": "evil.example"}).status_code == 421
    system.database.rows("DROP VIEW job_states; CREATE VIEW job_states AS SELECT id FROM jobs")
    broken = system.client.get(f"/jobs/{UNKNOWN}", headers={"Origin": PAGE})
    assert (broken.status_code, broken.headers["access-control-allow-origin"]) == (500, PAGE)
    assert HEADERS.items() <= dict(broken.headers).items(), "an internal error bypasses all middleware"


def test_every_response_has_the_security_headers(shared_system: System) -> None:
    job_id = shared_system.submit("square_sum", 1)
    client = shared_system.client
    responses: list[httpx.Response] = [
        client.get(path)
        for path in (f"/jobs/{job_id}", "/jobs", "/livez", "/docs", "/docs/glossary", "/openapi.json", "/nothing")
    ]
    responses += [
        client.get("/docs/static/swagger-ui.css"),
        client.post("/jobs/", json={"data": [1], "operation": "square_sum"}),
        client.post("/jobs/", json={}),
        client.put("/jobs/"),
        client.post("/jobs/", json={}, headers=EVIL),
        client.get("/livez", headers={"Host": "evil.example"}),
        client.get(f"/jobs/{job_id}", headers={"If-None-Match": "*"}),
    ]
    with client.stream("GET", f"/jobs/{job_id}/events") as events:
        responses.append(events)
    assert {response.status_code for response in responses} == {200, 202, 304, 403, 404, 405, 421, 422}
    for response in responses:
        assert {name: response.headers.get_list(name) for name in HEADERS} == {
            name: [value] for name, value in HEADERS.items()
        }, response.url
