"""Paths, ids, methods and media types."""

from collections.abc import Callable
from typing import Any

import pytest
from rig.system import System

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
JOB_PATHS = ["/jobs/{}", "/jobs/{}/status", "/jobs/{}/result"]
GOOD = {"data": [1, 2, 3], "operation": "square_sum"}


def test_every_path_answers_the_same_with_and_without_a_slash_at_its_end(served: System) -> None:
    """No redirect: a client that does not follow one on POST would lose its submission."""
    paths = [*served.client.get("/openapi.json").json()["paths"], "/docs"]
    assert {"/jobs/", "/jobs/batch", "/jobs/{job_id}", "/jobs/{job_id}/status", "/jobs/{job_id}/result", "/livez", "/readyz"} <= set(paths)
    for path in (path.replace("{job_id}", UNKNOWN).rstrip("/") for path in paths):
        for method in ("GET", "POST"):
            bare, slashed = (served.client.request(method, one, json=[]) for one in (path, path + "/"))
            assert (bare.status_code, bare.headers.get("allow"), bare.text) == (slashed.status_code, slashed.headers.get("allow"), slashed.text), path
            assert bare.status_code in (200, 404, 405, 422), (method, path)
            assert bare.status_code != 404 or bare.json()["type"] == "urn:jobproc:problem:job-not-found", (method, path)


def test_submissions_are_taken_with_and_without_a_slash(shared_system: System) -> None:
    system = shared_system
    for path in ("/jobs", "/jobs/"):
        assert system.client.post(path, json=GOOD).status_code == 202
    for path in ("/jobs/batch", "/jobs/batch/"):
        assert system.client.post(path, json=[GOOD]).status_code == 202
    job_id = system.submit("square_sum", 1)
    for path in JOB_PATHS:
        bare, slashed = (system.client.get(path.format(job_id) + end) for end in ("", "/"))
        assert bare.status_code == slashed.status_code == 200
        assert bare.json() == slashed.json()


def test_the_answers_of_the_seed_are_exact(system: System) -> None:
    system.api()
    answer = system.client.post("/jobs/", json=GOOD)
    job_id = answer.json()["job_id"]
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/json")
    assert answer.json() == {"job_id": job_id, "status": "PENDING"}
    for path, body in {"status": {"status": "PENDING"}, "result": {"job_id": job_id, "status": "PENDING", "result": None}}.items():
        answer = system.client.get(f"/jobs/{job_id}/{path}")
        assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, "application/json", body)
    system.worker()
    system.wait_status(job_id, "SUCCESS")
    assert system.client.get(f"/jobs/{job_id}/status").text == '{"status":"SUCCESS"}'
    assert system.client.get(f"/jobs/{job_id}/result").text == f'{{"job_id":"{job_id}","status":"SUCCESS","result":14.0}}'


@pytest.mark.parametrize("path", JOB_PATHS)
def test_an_unknown_id_is_not_found_however_it_is_written(served: System, refused: Callable[..., Any], path: str) -> None:
    for job_id in (UNKNOWN, UNKNOWN.upper(), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"):
        body = refused(served.client.get(path.format(job_id)), 404, "job-not-found")
        assert job_id not in str(body)


@pytest.mark.parametrize("path", JOB_PATHS)
def test_what_is_no_uuid_is_refused_by_name(served: System, refused: Callable[..., Any], path: str) -> None:
    for job_id in ("1", "zebra", UNKNOWN[:-1], UNKNOWN + "0", "%00", "%ff", "☃", "%22%3E%3Cb%3E", "x" * 10_000):
        body = refused(served.client.get(path.format(job_id)), 422, "invalid-parameter")
        assert [one["field"] for one in body["errors"]] == ["job_id"]


@pytest.mark.parametrize(("one", "other"), [("☃", "☂"), ("%00", "%01"), ("zebra", "quagga"), ("%3Cb%3E", "%3Eb%3C")])
def test_no_letter_of_what_is_no_uuid_is_repeated(served: System, one: str, other: str) -> None:
    """Two ids that are wrong in different letters get the same answer."""
    assert served.client.get(f"/jobs/{one}/status").text == served.client.get(f"/jobs/{other}/status").text


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
def test_a_wrong_method_is_told_the_right_ones(served: System, refused: Callable[..., Any], path: str, allowed: set[str]) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allowed:
        answer = served.client.request(method, path)
        refused(answer, 405, "method-not-allowed")
        assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == allowed, method


@pytest.mark.parametrize(
    "path",
    ["/", "/job", "/jobs/batch/1", "/jobs//status", f"/jobs/{UNKNOWN}/nothing", "/metrics", "/docs/static/nothing.js", "/docs/static/%2e%2e/__init__.py"],
)
def test_an_unknown_path_is_a_problem(served: System, refused: Callable[..., Any], path: str) -> None:
    for method in ("GET", "POST"):
        answer = served.client.request(method, path)
        if method == "POST" and path.startswith("/docs/static"):
            refused(answer, 405, "method-not-allowed")
        else:
            body = refused(answer, 404, "not-found")
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
def test_another_media_type_is_refused(served: System, refused: Callable[..., Any], path: str, media: str | None) -> None:
    answer = served.client.post(path, content=b'{"data":[1],"operation":"square_sum"}', headers={} if media is None else {"Content-Type": media})
    refused(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("media", ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"])
def test_json_is_taken_however_its_media_type_is_written(served: System, refused: Callable[..., Any], media: str) -> None:
    refused(served.client.post("/jobs/", content=b"{}", headers={"Content-Type": media}), 422, "invalid-body")
