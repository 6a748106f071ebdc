"""`?wait=`: an answer the moment that a job ends, or as it is when the time is up."""

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rig.scrape import Page
from rig.system import System, until

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
LATE_S = 1.0  # of an answer that was told through Redis: far more than it takes, for a busy machine


def _job(operation: str, *data: float) -> dict[str, Any]:
    return {"operation": operation, "data": list(data)}


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.monotonic()
    answer = call()
    return time.monotonic() - began, answer


def test_a_result_is_answered_as_the_job_ends(shared: System) -> None:
    job_id = shared.submit("sleep", 0.7)
    took, answer = _timed(lambda: shared.client.get(f"/jobs/{job_id}/result?wait=10"))
    assert answer.json() == {"job_id": job_id, "status": "SUCCESS", "result": 0.7}
    assert 0.3 < took < 0.7 + LATE_S


def test_a_submission_is_answered_with_its_result(shared: System) -> None:
    answer = shared.client.post("/jobs/?wait=10", json=_job("square_sum", 1, 2, 3))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"job_id": answer.json()["job_id"], "status": "SUCCESS", "result": 14.0}
    assert shared.client.post("/jobs?wait=10", json=_job("square_sum", 1)).json()["result"] == 1.0


def test_a_failure_is_an_end_too(shared: System) -> None:
    answer = shared.client.post("/jobs/?wait=10", json=_job("fail_for_good", 0))
    assert (answer.status_code, answer.json()["status"], answer.json()["result"]) == (200, "FAILED", None)


def test_a_wait_that_is_over_says_how_it_is(shared: System) -> None:
    took, submitted = _timed(lambda: shared.client.post("/jobs/?wait=0.3", json=_job("sleep", 2)))
    assert submitted.status_code == 202
    assert set(submitted.json()) == {"job_id", "status"}
    assert 0.3 <= took < 0.3 + LATE_S
    job_id = submitted.json()["job_id"]
    took, answer = _timed(lambda: shared.client.get(f"/jobs/{job_id}/result?wait=0.25"))
    assert answer.status_code == 200
    assert answer.json() == {"job_id": job_id, "status": "IN_PROGRESS", "result": None}
    assert 0.25 <= took < 0.25 + LATE_S
    assert shared.client.get(f"/jobs/{job_id}/result?wait=10").json()["status"] == "SUCCESS"


def test_no_wait_and_a_wait_of_nothing_are_answered_at_once(shared: System) -> None:
    job_id = shared.submit("sleep", 1)
    for query in ("", "?wait=0", "?wait=0.0", "?other=1"):
        took, answer = _timed(lambda query=query: shared.client.get(f"/jobs/{job_id}/result{query}"))  # type: ignore[misc]  # bound in the loop
        assert answer.status_code == 200
        assert took < 0.5
    answer = shared.client.get(f"/jobs/{job_id}/result?wait=0.000001")
    assert answer.json()["status"] in {"PENDING", "IN_PROGRESS"}


def test_a_job_that_has_ended_is_answered_at_once(shared: System) -> None:
    job_id = shared.submit("noop", 1)
    shared.wait(job_id)
    took, answer = _timed(lambda: shared.client.get(f"/jobs/{job_id}/result?wait=10"))
    assert answer.json()["status"] == "SUCCESS"
    assert took < 0.5


@pytest.mark.parametrize("wait", ["61", "-1", "nan", "inf", "1e1", "x", "", "1&wait=2", "1_0", "%201", "99999999999999"])
def test_a_wait_that_is_none_is_refused(shared: System, wait: str) -> None:
    before = shared.database.one("SELECT count(*) FROM jobs")
    for answer in (shared.client.get(f"/jobs/{UNKNOWN}/result?wait={wait}"), shared.client.post(f"/jobs/?wait={wait}", json=_job("noop", 1))):
        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:jobproc:problem:invalid-parameter"
        assert answer.json()["errors"] == [{"field": "wait", "reason": "seconds are expected, 0 to 60"}]
    assert shared.database.one("SELECT count(*) FROM jobs") == before


def test_nobody_waits_for_a_job_that_is_not_there(shared: System) -> None:
    took, answer = _timed(lambda: shared.client.get(f"/jobs/{UNKNOWN}/result?wait=10"))
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:jobproc:problem:job-not-found"
    assert took < 1


def test_a_repeat_by_its_key_waits_for_the_same_job(shared: System) -> None:
    headers = {"Idempotency-Key": "a-key-of-waits"}
    first = shared.client.post("/jobs/", json=_job("sleep", 0.5), headers=headers)
    assert first.status_code == 202
    again = shared.client.post("/jobs/?wait=10", json=_job("sleep", 0.5), headers=headers)
    assert (again.status_code, again.json()) == (200, {"job_id": first.json()["job_id"], "status": "SUCCESS", "result": 0.5})


def test_a_wait_that_shows_nothing_new_has_no_body(shared: System) -> None:
    job_id = shared.submit("sleep", 1)
    shared.wait_status(job_id, "IN_PROGRESS")
    first = shared.client.get(f"/jobs/{job_id}/result")
    known = {"If-None-Match": first.headers["etag"]}
    assert shared.client.get(f"/jobs/{job_id}/result?wait=0.1", headers=known).status_code == 304
    ended = shared.client.get(f"/jobs/{job_id}/result?wait=10", headers=known)
    assert (ended.status_code, ended.json()["result"]) == (200, 1.0)
    assert ended.headers["etag"] == shared.client.get(f"/jobs/{job_id}/result").headers["etag"]


def test_who_waits_is_told_of_a_cancel(system: System) -> None:
    """At once by the process that was asked, with looks that would come a minute later."""
    system.api(JOBPROC_WAIT_LOOK_SECONDS="60")
    job_id = system.submit("square_sum", 1)
    with ThreadPoolExecutor(1) as pool:
        wait = pool.submit(_timed, lambda: system.client.get(f"/jobs/{job_id}/result?wait=10"))
        time.sleep(1)  # past the quick looks
        assert system.client.post(f"/jobs/{job_id}/cancel").json()["status"] == "CANCELLED"
        took, answer = wait.result(10)
    assert answer.json()["status"] == "CANCELLED"
    assert took < 1 + LATE_S


def test_many_clients_wait_for_one_job(shared: System) -> None:
    job_id = shared.submit("sleep", 0.6)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shared.client.get(f"/jobs/{job_id}/result?wait=10").json(), range(8)))
    assert answers == [{"job_id": job_id, "status": "SUCCESS", "result": 0.6}] * 8


def test_one_wait_after_the_other_is_told_and_not_looked_for(system: System) -> None:
    """From the second on a wait ends as quickly as the job, with looks that would come a minute later."""
    page = Page()
    system.worker().controller().api(JOBPROC_WAIT_LOOK_SECONDS="60", JOBPROC_METRICS_PORT=page.port)
    assert system.client.post("/jobs/?wait=5", json=_job("noop", 1)).status_code == 200
    time.sleep(0.5)  # by then workers tell again: one that nobody heard is silent for 0.1 s
    took = [_timed(lambda: system.client.post("/jobs/?wait=10", json=_job("sleep", 0.25))) for _ in range(8)]
    assert {answer.status_code for _, answer in took} == {200}
    assert statistics.median(seconds for seconds, _ in took) < 0.25 + LATE_S
    assert page.total("jobproc_waits_total", outcome="told") >= 6
    assert page.value("jobproc_waiting_clients", **{"for": "result"}) == 0
    assert page.total("jobproc_http_request_duration_seconds_sum", route="/jobs") < 1, "a wait is not how long a request takes"


def test_a_result_is_the_same_however_great(system: System) -> None:
    """A great one is read alone."""
    system.all()
    with ThreadPoolExecutor(8) as pool:
        waited = list(pool.map(lambda size: system.client.post("/jobs/?wait=10", json=_job("big_result", size)).json(), [10, 1_000_000] * 4))
    assert sorted(len(one["result"]) for one in waited) == [10] * 4 + [1_000_000] * 4
    assert all(system.client.get(f"/jobs/{one['job_id']}/result").json() == one for one in waited)


def test_a_client_that_leaves_frees_its_place(system: System, wire: Callable[[System], Any]) -> None:
    page = Page()
    system.api(JOBPROC_MAX_WAITING_CLIENTS="3", JOBPROC_METRICS_PORT=page.port)
    job_id = system.submit("square_sum", 1)
    waiting = [wire(system).send(f"GET /jobs/{job_id}/result?wait=60 HTTP/1.1\r\nHost: api\r\n\r\n".encode()) for _ in range(3)]
    until("all wait", lambda: page.value("jobproc_waiting_clients", **{"for": "result"}) == 3)
    full = system.client.get(f"/jobs/{job_id}/result?wait=1")
    assert full.status_code == 503
    assert full.json()["type"] == "urn:jobproc:problem:too-many-waiting"
    assert full.headers["retry-after"] == "1"
    before = system.database.one("SELECT count(*) FROM jobs")
    assert system.client.post("/jobs/?wait=1", json=_job("square_sum", 1)).status_code == 503
    assert system.database.one("SELECT count(*) FROM jobs") == before, "what has no place to wait is not stored"
    assert system.client.get(f"/jobs/{job_id}/result").status_code == 200
    assert system.client.post("/jobs/", json=_job("square_sum", 1)).status_code == 202
    waiting[0].close()
    waiting[1].close(reset=True)
    until("two places are free", lambda: system.client.get(f"/jobs/{job_id}/result?wait=0.01").status_code == 200)


def test_an_api_that_is_told_to_end_answers_who_waits(system: System, wire: Callable[[System], Any]) -> None:
    system.api()
    job_id = system.submit("square_sum", 1)
    waiting = [wire(system).send(f"GET /jobs/{job_id}/result?wait=60 HTTP/1.1\r\nHost: api\r\n\r\n".encode()) for _ in range(5)]
    body = b'{"operation":"square_sum","data":[1]}'
    submitter = wire(system).head(f"Content-Length: {len(body)}", path="/jobs/?wait=60").send(body)
    until("the last one is stored", lambda: system.database.one("SELECT count(*) FROM jobs") == 2)
    began = time.monotonic()
    ending = threading.Thread(target=lambda: system.end("api"))
    ending.start()
    answers = [one.answer() for one in waiting]
    assert [(answer.status_code, answer.json()["status"], answer.headers["connection"]) for answer in answers] == [(200, "PENDING", "close")] * 5
    assert submitter.answer().status_code == 202
    ending.join()
    assert time.monotonic() - began < 3, "the grace is ten seconds"
