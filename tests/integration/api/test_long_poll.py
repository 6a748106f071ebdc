"""Long polls (`?wait=`): a response as soon as the job ends, or its current state at the timeout."""

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rig.scrape import MetricsPage
from rig.system import System, until

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
MAX_DELAY_S = 1.0  # of a response that a change notification triggers: milliseconds; the rest is for a busy machine


def _job(operation: str, *data: float) -> dict[str, Any]:
    return {"operation": operation, "data": list(data)}


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.monotonic()
    response = call()
    return time.monotonic() - began, response


def test_a_result_is_sent_when_the_job_ends(shared: System) -> None:
    job_id = shared.submit("sleep", 0.7)
    elapsed_s, response = _timed(lambda: shared.client.get(f"/jobs/{job_id}/result?wait=10"))
    assert response.json() == {"job_id": job_id, "status": "SUCCESS", "result": 0.7}
    assert 0.3 < elapsed_s < 0.7 + MAX_DELAY_S


def test_a_submission_with_wait_gets_its_result(shared: System) -> None:
    response = shared.client.post("/jobs/?wait=10", json=_job("square_sum", 1, 2, 3))
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {"job_id": response.json()["job_id"], "status": "SUCCESS", "result": 14.0}
    assert shared.client.post("/jobs?wait=10", json=_job("square_sum", 1)).json()["result"] == 1.0


def test_a_failed_job_ends_the_wait(shared: System) -> None:
    response = shared.client.post("/jobs/?wait=10", json=_job("fail_for_good", 0))
    assert (response.status_code, response.json()["status"], response.json()["result"]) == (200, "FAILED", None)


def test_a_wait_that_times_out_gets_the_current_state(shared: System) -> None:
    elapsed_s, submitted = _timed(lambda: shared.client.post("/jobs/?wait=0.3", json=_job("sleep", 2)))
    assert submitted.status_code == 202
    assert set(submitted.json()) == {"job_id", "status"}
    assert 0.3 <= elapsed_s < 0.3 + MAX_DELAY_S
    job_id = submitted.json()["job_id"]
    elapsed_s, response = _timed(lambda: shared.client.get(f"/jobs/{job_id}/result?wait=0.25"))
    assert response.status_code == 200
    assert response.json() == {"job_id": job_id, "status": "IN_PROGRESS", "result": None}
    assert 0.25 <= elapsed_s < 0.25 + MAX_DELAY_S
    assert shared.client.get(f"/jobs/{job_id}/result?wait=10").json()["status"] == "SUCCESS"


def test_a_request_with_no_wait_or_a_wait_of_zero_is_answered_at_once(shared: System) -> None:
    job_id = shared.submit("sleep", 1)
    for query in ("", "?wait=0", "?wait=0.0", "?other=1"):
        elapsed_s, response = _timed(lambda query=query: shared.client.get(f"/jobs/{job_id}/result{query}"))  # type: ignore[misc]  # default argument in a lambda
        assert response.status_code == 200
        assert elapsed_s < 0.5
    response = shared.client.get(f"/jobs/{job_id}/result?wait=0.000001")
    assert response.json()["status"] in {"PENDING", "IN_PROGRESS"}


def test_a_long_poll_of_a_finished_job_is_answered_at_once(shared: System) -> None:
    job_id = shared.submit("noop", 1)
    shared.wait(job_id)
    elapsed_s, response = _timed(lambda: shared.client.get(f"/jobs/{job_id}/result?wait=10"))
    assert response.json()["status"] == "SUCCESS"
    assert elapsed_s < 0.5


@pytest.mark.parametrize(
    "wait", ["61", "-1", "nan", "inf", "1e1", "x", "", "1&wait=2", "1_0", "%201", "99999999999999"]
)
def test_an_invalid_wait_is_refused(shared: System, wait: str) -> None:
    before = shared.database.value("SELECT count(*) FROM jobs")
    for response in (
        shared.client.get(f"/jobs/{UNKNOWN}/result?wait={wait}"),
        shared.client.post(f"/jobs/?wait={wait}", json=_job("noop", 1)),
    ):
        assert response.status_code == 422
        assert response.json()["type"] == "urn:jobproc:problem:invalid-parameter"
        assert response.json()["errors"] == [{"field": "wait", "reason": "a number of seconds, 0 to 60, is expected"}]
    assert shared.database.value("SELECT count(*) FROM jobs") == before


def test_a_long_poll_of_an_unknown_job_is_not_found_at_once(shared: System) -> None:
    elapsed_s, response = _timed(lambda: shared.client.get(f"/jobs/{UNKNOWN}/result?wait=10"))
    assert response.status_code == 404
    assert response.json()["type"] == "urn:jobproc:problem:job-not-found"
    assert elapsed_s < 1


def test_a_repeated_request_waits_for_the_same_job(shared: System) -> None:
    headers = {"Idempotency-Key": "a-key-of-waits"}
    first = shared.client.post("/jobs/", json=_job("sleep", 0.5), headers=headers)
    assert first.status_code == 202
    again = shared.client.post("/jobs/?wait=10", json=_job("sleep", 0.5), headers=headers)
    assert (again.status_code, again.json()) == (
        200,
        {"job_id": first.json()["job_id"], "status": "SUCCESS", "result": 0.5},
    )


def test_a_conditional_long_poll_without_a_change_gets_304(shared: System) -> None:
    job_id = shared.submit("sleep", 1)
    shared.wait_status(job_id, "IN_PROGRESS")
    first = shared.client.get(f"/jobs/{job_id}/result")
    known = {"If-None-Match": first.headers["etag"]}
    assert shared.client.get(f"/jobs/{job_id}/result?wait=0.1", headers=known).status_code == 304
    ended = shared.client.get(f"/jobs/{job_id}/result?wait=10", headers=known)
    assert (ended.status_code, ended.json()["result"]) == (200, 1.0)
    assert ended.headers["etag"] == shared.client.get(f"/jobs/{job_id}/result").headers["etag"]


def test_a_cancel_ends_long_polls_of_the_same_process_at_once(system: System) -> None:
    """Without a poll, which would happen only after a minute."""
    system.api(JOBPROC_WAIT_POLL_SECONDS="60")
    job_id = system.submit("square_sum", 1)
    with ThreadPoolExecutor(1) as pool:
        wait = pool.submit(_timed, lambda: system.client.get(f"/jobs/{job_id}/result?wait=10"))
        time.sleep(1)  # after the quick first polls
        assert system.client.post(f"/jobs/{job_id}/cancel").json()["status"] == "CANCELLED"
        elapsed_s, response = wait.result(10)
    assert response.json()["status"] == "CANCELLED"
    assert elapsed_s < 1 + MAX_DELAY_S


def test_many_clients_wait_for_one_job(shared: System) -> None:
    job_id = shared.submit("sleep", 0.6)
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: shared.client.get(f"/jobs/{job_id}/result?wait=10").json(), range(8)))
    assert responses == [{"job_id": job_id, "status": "SUCCESS", "result": 0.6}] * 8


def test_consecutive_long_polls_end_by_notification_without_polls(system: System) -> None:
    """From the second long poll on, notifications end it; a poll would happen only after a minute."""
    page = MetricsPage()
    system.worker().controller().api(JOBPROC_WAIT_POLL_SECONDS="60", JOBPROC_METRICS_PORT=page.port)
    assert system.client.post("/jobs/?wait=5", json=_job("noop", 1)).status_code == 200
    time.sleep(0.5)  # a worker pauses its change notifications for 0.1 s after a publish without subscribers
    timed_responses = [_timed(lambda: system.client.post("/jobs/?wait=10", json=_job("sleep", 0.25))) for _ in range(8)]
    assert {response.status_code for _, response in timed_responses} == {200}
    assert statistics.median(seconds for seconds, _ in timed_responses) < 0.25 + MAX_DELAY_S
    assert page.total("jobproc_long_polls_total", outcome="notified") >= 6
    assert page.value("jobproc_waiting_clients", kind="result") == 0
    assert page.total("jobproc_http_request_duration_seconds_sum", route="/jobs") < 1, (
        "the wait is not part of the request duration"
    )


def test_small_and_large_results_are_sent_whole(system: System) -> None:
    """A large result is read in its own query."""
    system.all()
    with ThreadPoolExecutor(8) as pool:
        results = list(
            pool.map(
                lambda size: system.client.post("/jobs/?wait=10", json=_job("big_result", size)).json(),
                [10, 1_000_000] * 4,
            )
        )
    assert sorted(len(result["result"]) for result in results) == [10] * 4 + [1_000_000] * 4
    assert all(system.client.get(f"/jobs/{result['job_id']}/result").json() == result for result in results)


def test_a_disconnected_client_frees_its_slot(system: System, wire: Callable[[System], Any]) -> None:
    page = MetricsPage()
    system.api(JOBPROC_LONG_POLL_MAX_CLIENTS="3", JOBPROC_METRICS_PORT=page.port)
    job_id = system.submit("square_sum", 1)
    connections = [
        wire(system).send(f"GET /jobs/{job_id}/result?wait=60 HTTP/1.1\r\nHost: api\r\n\r\n".encode()) for _ in range(3)
    ]
    until("all wait", lambda: page.value("jobproc_waiting_clients", kind="result") == 3)
    full = system.client.get(f"/jobs/{job_id}/result?wait=1")
    assert full.status_code == 503
    assert full.json()["type"] == "urn:jobproc:problem:too-many-waiting"
    assert full.headers["retry-after"] == "1"
    before = system.database.value("SELECT count(*) FROM jobs")
    assert system.client.post("/jobs/?wait=1", json=_job("square_sum", 1)).status_code == 503
    assert system.database.value("SELECT count(*) FROM jobs") == before, (
        "a submission without a free slot is not stored"
    )
    assert system.client.get(f"/jobs/{job_id}/result").status_code == 200
    assert system.client.post("/jobs/", json=_job("square_sum", 1)).status_code == 202
    connections[0].close()
    connections[1].close(reset=True)
    until("two slots are free", lambda: system.client.get(f"/jobs/{job_id}/result?wait=0.01").status_code == 200)


def test_a_graceful_shutdown_answers_open_long_polls(system: System, wire: Callable[[System], Any]) -> None:
    system.api()
    job_id = system.submit("square_sum", 1)
    connections = [
        wire(system).send(f"GET /jobs/{job_id}/result?wait=60 HTTP/1.1\r\nHost: api\r\n\r\n".encode()) for _ in range(5)
    ]
    body = b'{"operation":"square_sum","data":[1]}'
    submitter = wire(system).head(f"Content-Length: {len(body)}", path="/jobs/?wait=60").send(body)
    until("the submission is stored", lambda: system.database.value("SELECT count(*) FROM jobs") == 2)
    began = time.monotonic()
    ending = threading.Thread(target=lambda: system.end("api"))
    ending.start()
    responses = [connection.read_response() for connection in connections]
    assert [
        (response.status_code, response.json()["status"], response.headers["connection"]) for response in responses
    ] == [(200, "PENDING", "close")] * 5
    assert submitter.read_response().status_code == 202
    ending.join()
    assert time.monotonic() - began < 3, "the grace is ten seconds"
