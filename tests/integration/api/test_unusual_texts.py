"""Texts of clients that other services split, decode twice or compare loosely: tags, paths, years."""

import http.client

import pytest
from rig.system import System

COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"  # the same to a reader, two texts to a program
TAGS = [COMPOSED, DECOMPOSED, "🧪" * 16, "a/b?c=d&e#f", "%41", "a,b", " lead", "\u202e", "x" * 64]


def _status(system: System, path: str) -> tuple[int, bytes]:
    """Return the status and the body of a GET whose path is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def test_each_tag_finds_its_own_jobs_and_no_others(shared_system: System) -> None:
    jobs = {}
    for tag in TAGS:
        body = {"data": [1], "operation": "square_sum", "tags": [tag]}
        jobs[tag] = shared_system.client.post("/jobs/", json=body).json()["job_id"]
    for tag, job_id in jobs.items():
        found = shared_system.client.get("/jobs", params={"tag": tag}).json()["jobs"]
        assert [job["job_id"] for job in found] == [job_id], tag


def test_an_escaped_character_of_a_path_is_that_character(shared_system: System) -> None:
    """Also a slash. A second decoding would find another resource."""
    job_id = shared_system.submit("square_sum", 1)
    plain = _status(shared_system, f"/jobs/{job_id}/status")
    for path in (f"/jobs/{job_id}%2Fstatus", f"/jobs/{job_id}/%73tatus", f"/%6Aobs/{job_id.upper()}/status"):
        assert _status(shared_system, path) == plain, path
    for path in (f"/jobs/{job_id}%252Fstatus", f"/jobs/{job_id};a=b/status", f"//jobs/{job_id}/status"):
        assert _status(shared_system, path)[0] in (404, 422), path


@pytest.mark.parametrize(
    ("instant", "status"),
    [
        ("0001-01-01T00:00:00+14:00", 422),
        ("1969-12-31T23:59:59Z", 422),
        ("1970-01-01T00:00:00+14:00", 200),
        ("9998-12-31T23:59:59-14:00", 200),
        ("9999-12-31T23:59:59Z", 422),
        ("infinity", 422),
    ],
)
def test_a_time_at_the_ends_of_the_calendar_is_read_or_refused(
    read_only_system: System, instant: str, status: int
) -> None:
    for name in ("created_after", "created_before", "finished_after", "finished_before"):
        response = read_only_system.client.get("/jobs", params={name: instant})
        assert response.status_code == status, (name, response.text)
