"""GET /jobs/{id}/events: states and progress of a job as server-sent events."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from rig.event_streams import Stream, open_stream
from rig.scrape import MetricsPage
from rig.system import System, until

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"


@contextmanager
def stream(system: System, job_id: str, last_event_id: str | None = None) -> Iterator[Stream]:
    with open_stream(system.client, f"/jobs/{job_id}/events", last_event_id) as reader:
        yield reader


def test_a_stream_has_states_and_progress_and_ends_with_the_job(system: System) -> None:
    system.all(JOBPROC_PROGRESS_MIN_INTERVAL_SECONDS="0.05", JOBPROC_EVENT_HEARTBEAT_SECONDS="0.2")
    job_id = system.submit("tell_progress", 0.25)
    with stream(system, job_id) as reader:
        assert reader.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reader.response.headers["cache-control"] == "no-store, no-transform"
        assert reader.response.headers["x-accel-buffering"] == "no"
        until("its progress is streamed", lambda: [event for event in reader.events if "progress" in event["data"]])
        assert reader.events[-1]["data"] == {
            "status": "IN_PROGRESS",
            "attempt": 1,
            "progress": {"fraction": 0.25, "text": "half way� there"},
        }
        assert system.client.get(f"/jobs/{job_id}/status").json() == {
            "status": "IN_PROGRESS",
            "progress": {"fraction": 0.25, "text": "half way� there"},
        }
        until("heartbeats are sent while nothing changes", lambda: reader.heartbeats >= 2)
        (system.folder / "go").touch()
        until("the stream ends", lambda: reader.ended, 5)
        assert reader.events[-1]["data"] == {"status": "SUCCESS", "attempt": 1}
        assert reader.events[-1]["event"] == "status"
        assert reader.states[-2:] == ["IN_PROGRESS", "SUCCESS"]
        assert len({event["id"] for event in reader.events}) == len(reader.events)
    assert system.client.get(f"/jobs/{job_id}/status").text == '{"status":"SUCCESS"}'


def test_a_reconnected_stream_continues_after_the_last_event(system: System) -> None:
    system.all()
    job_id = system.submit("sleep", 1)
    system.wait_status(job_id, "IN_PROGRESS")
    with stream(system, job_id) as first:
        until("the stream has an event", lambda: first.events)
    with stream(system, job_id, first.events[-1]["id"]) as second:
        until("the stream ends", lambda: second.ended, 5)
    assert (first.states, second.states) == (["IN_PROGRESS"], ["SUCCESS"])
    with stream(system, job_id, second.events[-1]["id"]) as third:
        assert third.response.status_code == 204, "a browser does not reconnect after 204"
    with stream(system, job_id) as fourth:
        until("the stream ends", lambda: fourth.ended, 5)
    assert fourth.states == ["SUCCESS"]


def test_the_attempts_of_a_retried_job_are_streamed_in_order(system: System) -> None:
    system.all()
    job_id = system.submit("fail_times", 2)
    with stream(system, job_id) as reader:
        until("the stream ends", lambda: reader.ended, 10)
    ids = [tuple(int(part) for part in event["id"].split(".")) for event in reader.events]
    assert ids == sorted(ids)
    assert [event["data"]["attempt"] for event in reader.events] == sorted(
        event["data"]["attempt"] for event in reader.events
    )
    assert reader.events[-1]["data"] == {"status": "SUCCESS", "attempt": 3}


def test_a_stream_that_cannot_begin_gets_a_problem(
    read_only_system: System, assert_problem: Callable[..., Any]
) -> None:
    assert_problem(read_only_system.client.get(f"/jobs/{UNKNOWN}/events"), 404, "job-not-found")
    assert_problem(read_only_system.client.get("/jobs/no-id/events"), 422, "invalid-parameter")
    for last_event_id in ("x", "1", "1.2.3", "-1.0"):
        assert_problem(
            read_only_system.client.get(f"/jobs/{UNKNOWN}/events", headers={"Last-Event-ID": last_event_id}),
            422,
            "invalid-parameter",
        )


def test_streams_are_limited_in_number_and_time_and_end_with_the_process(system: System) -> None:
    page = MetricsPage()
    system.api(
        JOBPROC_EVENT_STREAM_MAX_CLIENTS="2", JOBPROC_EVENT_STREAM_MAX_SECONDS="2", JOBPROC_METRICS_PORT=page.port
    )
    job_id = system.submit("square_sum", 1)
    with stream(system, job_id) as first, stream(system, job_id) as second:
        until("both have begun", lambda: first.events and second.events)
        assert page.value("jobproc_waiting_clients", kind="events") == 2
        assert page.value("jobproc_http_requests_in_progress") == 0
        full = system.client.get(f"/jobs/{job_id}/events")
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert full.json()["type"] == "urn:jobproc:problem:too-many-waiting"
        assert system.client.get(f"/jobs/{job_id}/result?wait=0.01").status_code == 200, "long polls have other slots"
        until("the streams end after two seconds", lambda: first.ended and second.ended, 5)
    until("their slots are free", lambda: page.value("jobproc_waiting_clients", kind="events") == 0)
    with stream(system, job_id) as third:
        until("the stream has begun", lambda: third.events)
    with stream(system, job_id) as fourth, stream(system, job_id) as fifth:
        until("a disconnected client has freed its slot", lambda: fourth.events and fifth.events)
        began = time.monotonic()
        system.end("api")
        assert time.monotonic() - began < 3, "the grace is ten seconds"
        until("the streams end in order", lambda: fourth.ended and fifth.ended, 5)


def test_a_client_that_does_not_read_is_disconnected(system: System) -> None:
    """Its events are not buffered."""
    system.api(
        JOBPROC_RESPONSE_WRITE_TIMEOUT_SECONDS="1",
        JOBPROC_EVENT_STREAM_MAX_CLIENTS="1",
        JOBPROC_EVENT_HEARTBEAT_SECONDS="0.00001",
    )
    job_id = system.submit("square_sum", 1)
    with socket.socket() as reader, httpx.Client(base_url=system.client.base_url, timeout=5) as client:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reader.connect(("127.0.0.1", system.port))
        reader.sendall(f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: api\r\n\r\n".encode())

        def status() -> int:
            with client.stream("GET", f"/jobs/{job_id}/events") as response:
                return response.status_code

        until("its slot is taken", lambda: status() == 503)
        until("its slot is free", lambda: status() == 200, 30)
