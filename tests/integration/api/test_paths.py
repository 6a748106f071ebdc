"""Paths, ids, methods and media types."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from integration.api.support.endless_streams import ENDLESS, beginning
from rig.system import System

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
JOB_PATHS = ["/jobs/{}", "/jobs/{}/status", "/jobs/{}/result"]  # a stream only where it is refused
GOOD = {"data": [1, 2, 3], "operation": "square_sum"}
TIME = re.compile(r"\d\d:\d\d:\d\d\.\d+Z|answers in [\d.]+ ms")  # of the response


def test_every_path_responds_the_same_with_and_without_a_trailing_slash(read_only_system: System) -> None:
    """Without a redirect, which many clients do not follow on POST."""
    paths = [*read_only_system.client.get("/openapi.json").json()["paths"], "/docs"]
    assert {
        "/jobs/",
        "/jobs/batch",
        "/jobs/{job_id}",
        "/jobs/{job_id}/status",
        "/jobs/{job_id}/result",
        "/livez",
        "/readyz",
    } <= set(paths)
    for path in (path.replace("{job_id}", UNKNOWN).rstrip("/") for path in paths):
        for method in ("GET", "POST"):
            if method == "GET" and path in ENDLESS:
                bare, slashed = (beginning(read_only_system.client, url) for url in (path, path + "/"))
                assert (bare.status_code, slashed.status_code) == (200, 200), path
                continue
            bare, slashed = (read_only_system.client.request(method, url, json=[]) for url in (path, path + "/"))
            # The URLs of the page /docs are relative, so from /docs/ they begin one level higher.
            text = bare.text.replace('"./', '"../').replace("'./", "'../") if path == "/docs" else bare.text
            assert (bare.status_code, bare.headers.get("allow"), TIME.sub("", text)) == (
                slashed.status_code,
                slashed.headers.get("allow"),
                TIME.sub("", slashed.text),
            ), path
            assert bare.status_code in (200, 204, 404, 405, 422), (method, path)
            assert bare.status_code != 404 or bare.json()["type"].endswith("-not-found"), (method, path)


def test_submissions_are_accepted_with_and_without_a_trailing_slash(shared_system: System) -> None:
    system = shared_system
    for path in ("/jobs", "/jobs/"):
        assert system.client.post(path, json=GOOD).status_code == 202
    for path in ("/jobs/batch", "/jobs/batch/"):
        assert system.client.post(path, json=[GOOD]).status_code == 202
    job_id = system.submit("square_sum", 1)
    for path in JOB_PATHS:
        bare, slashed = (system.client.get(path.format(job_id) + slash) for slash in ("", "/"))
        assert bare.status_code == slashed.status_code == 200
        assert bare.json() == slashed.json()


def test_the_original_responses_are_exact(system: System) -> None:
    system.api()
    response = system.client.post("/jobs/", json=GOOD)
    job_id = response.json()["job_id"]
    assert (response.status_code, response.headers["content-type"]) == (202, "application/json")
    assert response.json() == {"job_id": job_id, "status": "PENDING"}
    for path, body in {
        "status": {"status": "PENDING"},
        "result": {"job_id": job_id, "status": "PENDING", "result": None},
    }.items():
        response = system.client.get(f"/jobs/{job_id}/{path}")
        assert (response.status_code, response.headers["content-type"], response.json()) == (
            200,
            "application/json",
            body,
        )
    system.worker()
    system.wait_status(job_id, "SUCCESS")
    assert system.client.get(f"/jobs/{job_id}/status").text == '{"status":"SUCCESS"}'
    assert (
        system.client.get(f"/jobs/{job_id}/result").text == f'{{"job_id":"{job_id}","status":"SUCCESS","result":14.0}}'
    )


@pytest.mark.parametrize("path", JOB_PATHS)
def test_an_unknown_id_is_not_found_in_any_spelling(
    read_only_system: System, assert_problem: Callable[..., Any], path: str
) -> None:
    for job_id in (
        UNKNOWN,
        UNKNOWN.upper(),
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ):
        body = assert_problem(read_only_system.client.get(path.format(job_id)), 404, "job-not-found")
        assert job_id not in str(body)


@pytest.mark.parametrize("path", JOB_PATHS)
def test_a_malformed_id_is_refused_with_the_name_of_the_parameter(
    read_only_system: System, assert_problem: Callable[..., Any], path: str
) -> None:
    for job_id in ("1", "zebra", UNKNOWN[:-1], UNKNOWN + "0", "%00", "%ff", "☃", "%22%3E%3Cb%3E", "x" * 8_000):
        body = assert_problem(read_only_system.client.get(path.format(job_id)), 422, "invalid-parameter")
        assert [error["field"] for error in body["errors"]] == ["job_id"]


@pytest.mark.parametrize(("first", "second"), [("☃", "☂"), ("%00", "%01"), ("zebra", "quagga"), ("%3Cb%3E", "%3Eb%3C")])
def test_a_malformed_id_is_not_echoed(read_only_system: System, first: str, second: str) -> None:
    """Two ids with different wrong letters get the same response."""
    assert (
        read_only_system.client.get(f"/jobs/{first}/status").text
        == read_only_system.client.get(f"/jobs/{second}/status").text
    )


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/jobs", {"GET", "POST"}),
        ("/jobs/", {"GET", "POST"}),
        ("/jobs/batch", {"POST"}),
        (f"/jobs/{UNKNOWN}", {"GET"}),
        (f"/jobs/{UNKNOWN}/status", {"GET"}),
        (f"/jobs/{UNKNOWN}/result/", {"GET"}),
        (f"/jobs/{UNKNOWN}/cancel", {"POST"}),
        (f"/jobs/{UNKNOWN}/retry/", {"POST"}),
        ("/livez", {"GET"}),
        ("/readyz", {"GET"}),
        ("/docs", {"GET"}),
        ("/openapi.json", {"GET"}),
        ("/docs/static/swagger-ui.css", {"GET"}),
    ],
)
def test_a_wrong_method_gets_the_allowed_ones(
    read_only_system: System, assert_problem: Callable[..., Any], path: str, allowed: set[str]
) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allowed:
        response = read_only_system.client.request(method, path)
        assert_problem(response, 405, "method-not-allowed")
        assert set(response.headers["allow"].split(", ")) - {"HEAD"} == allowed, method


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/job",
        "/jobs/batch/1",
        "/jobs//status",
        f"/jobs/{UNKNOWN}/nothing",
        "/metrics",
        "/docs/static/nothing.js",
        "/docs/static/%2e%2e/__init__.py",
    ],
)
def test_an_unknown_path_is_a_problem(read_only_system: System, assert_problem: Callable[..., Any], path: str) -> None:
    for method in ("GET", "POST"):
        response = read_only_system.client.request(method, path)
        if method == "POST" and path.startswith("/docs/static"):
            assert_problem(response, 405, "method-not-allowed")
        else:
            body = assert_problem(response, 404, "not-found")
            assert path not in str(body) or path == "/"


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/batch"])
@pytest.mark.parametrize(
    "media",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/xml",
        "text/json",
        "*/*",
    ],
)
def test_another_media_type_is_refused(
    read_only_system: System, assert_problem: Callable[..., Any], path: str, media: str | None
) -> None:
    response = read_only_system.client.post(
        path, content=b'{"data":[1],"operation":"square_sum"}', headers={} if media is None else {"Content-Type": media}
    )
    assert_problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "media", ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"]
)
def test_json_is_accepted_in_any_spelling_of_its_media_type(
    read_only_system: System, assert_problem: Callable[..., Any], media: str
) -> None:
    assert_problem(
        read_only_system.client.post("/jobs/", content=b"{}", headers={"Content-Type": media}), 422, "invalid-body"
    )
