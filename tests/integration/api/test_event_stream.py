"""GET /jobs/{id}/events: what happens to a job, as server-sent events."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from rig.scrape import Page
from rig.system import System, until

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"


@dataclass
class Stream:
    """A stream as it is read, by a thread of its own."""

    answer: httpx.Response
    events: list[dict[str, Any]] = field(default_factory=list)
    beats: int = 0
    ended: bool = False

    def leave(self) -> None:
        """End the connection under the thread that reads."""
        with contextlib.suppress(OSError):
            self.answer.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def read(self) -> None:
        """Read to the end; `ended` says that it came in order."""
        with contextlib.suppress(httpx.TransportError):
            self._read()
            self.ended = True

    def _read(self) -> None:
        event: dict[str, Any] = {}
        for line in self.answer.iter_lines():
            if not line and event:
                if "data" in event:
                    self.events.append({**event, "data": json.loads(event["data"])})
                event = {}
            elif line == ":":
                self.beats += 1
            elif line:
                name, _, value = line.partition(": ")
                event[name] = value

    @property
    def states(self) -> list[str]:
        return [event["data"]["status"] for event in self.events if event["event"] == "status"]


@contextmanager
def stream(system: System, job_id: str, last: str | None = None) -> Iterator[Stream]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with httpx.Client(base_url=system.client.base_url, timeout=30) as client, client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as answer:
        found = Stream(answer)
        thread = threading.Thread(target=found.read)
        if answer.status_code == 200:
            thread.start()
        try:
            yield found
        finally:
            if answer.status_code == 200:
                found.leave()
                thread.join(30)


def test_a_stream_tells_of_states_and_progress_and_ends_with_the_job(system: System) -> None:
    system.all(JOBPROC_PROGRESS_SECONDS="0.05", JOBPROC_EVENT_HEARTBEAT_SECONDS="0.2")
    job_id = system.submit("tell_progress", 0.25)
    with stream(system, job_id) as seen:
        assert seen.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert seen.answer.headers["cache-control"] == "no-store, no-transform"
        assert seen.answer.headers["x-accel-buffering"] == "no"
        until("its progress is told", lambda: [event for event in seen.events if "progress" in event["data"]])
        assert seen.events[-1]["data"] == {"status": "IN_PROGRESS", "attempt": 1, "progress": {"fraction": 0.25, "text": "half way� there"}}
        assert system.client.get(f"/jobs/{job_id}/status").json() == {"status": "IN_PROGRESS", "progress": {"fraction": 0.25, "text": "half way� there"}}
        until("nothing happens, and that is said", lambda: seen.beats >= 2)
        (system.folder / "go").touch()
        until("it ends", lambda: seen.ended, 5)
        assert seen.events[-1]["data"] == {"status": "SUCCESS", "attempt": 1}
        assert seen.events[-1]["event"] == "status"
        assert seen.states[-2:] == ["IN_PROGRESS", "SUCCESS"]
        assert len({event["id"] for event in seen.events}) == len(seen.events)
    assert system.client.get(f"/jobs/{job_id}/status").text == '{"status":"SUCCESS"}'


def test_a_lost_stream_goes_on_after_the_last_event(system: System) -> None:
    system.all()
    job_id = system.submit("sleep", 1)
    system.wait_status(job_id, "IN_PROGRESS")
    with stream(system, job_id) as first:
        until("it has an event", lambda: first.events)
    with stream(system, job_id, first.events[-1]["id"]) as second:
        until("it ends", lambda: second.ended, 5)
    assert (first.states, second.states) == (["IN_PROGRESS"], ["SUCCESS"])
    with stream(system, job_id, second.events[-1]["id"]) as third:
        assert third.answer.status_code == 204, "so a browser does not come again"
    with stream(system, job_id) as fourth:
        until("it ends", lambda: fourth.ended, 5)
    assert fourth.states == ["SUCCESS"]


def test_a_job_that_fails_and_is_tried_again_is_told_in_order(system: System) -> None:
    system.all()
    job_id = system.submit("fail_times", 2)
    with stream(system, job_id) as seen:
        until("it ends", lambda: seen.ended, 10)
    ids = [tuple(int(part) for part in event["id"].split(".")) for event in seen.events]
    assert ids == sorted(ids)
    assert [event["data"]["attempt"] for event in seen.events] == sorted(event["data"]["attempt"] for event in seen.events)
    assert seen.events[-1]["data"] == {"status": "SUCCESS", "attempt": 3}


def test_what_is_no_stream_is_a_problem(served: System, refused: Callable[..., Any]) -> None:
    refused(served.client.get(f"/jobs/{UNKNOWN}/events"), 404, "job-not-found")
    refused(served.client.get("/jobs/no-id/events"), 422, "invalid-parameter")
    for last in ("x", "1", "1.2.3", "-1.0"):
        refused(served.client.get(f"/jobs/{UNKNOWN}/events", headers={"Last-Event-ID": last}), 422, "invalid-parameter")


def test_streams_are_bounded_end_in_time_and_with_the_process(system: System) -> None:
    page = Page()
    system.api(JOBPROC_MAX_EVENT_STREAMS="2", JOBPROC_EVENT_STREAM_SECONDS="2", JOBPROC_METRICS_PORT=page.port)
    job_id = system.submit("square_sum", 1)
    with stream(system, job_id) as first, stream(system, job_id) as second:
        until("both have begun", lambda: first.events and second.events)
        assert page.value("jobproc_waiting_clients", **{"for": "events"}) == 2
        assert page.value("jobproc_http_requests_in_progress") == 0
        full = system.client.get(f"/jobs/{job_id}/events")
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert full.json()["type"] == "urn:jobproc:problem:too-many-waiting"
        assert system.client.get(f"/jobs/{job_id}/result?wait=0.01").status_code == 200, "other places"
        until("they end after two seconds", lambda: first.ended and second.ended, 5)
    until("their places are free", lambda: page.value("jobproc_waiting_clients", **{"for": "events"}) == 0)
    with stream(system, job_id) as third:
        until("it has begun", lambda: third.events)
    with stream(system, job_id) as fourth, stream(system, job_id) as fifth:
        until("who left has freed a place", lambda: fourth.events and fifth.events)
        began = time.monotonic()
        system.end("api")
        assert time.monotonic() - began < 3, "the grace is ten seconds"
        until("they are ended, not cut off", lambda: fourth.ended and fifth.ended, 5)


def test_a_client_that_does_not_read_is_cut_off(system: System) -> None:
    """What happens meanwhile is not kept for it."""
    system.api(JOBPROC_ANSWER_TIMEOUT_SECONDS="1", JOBPROC_MAX_EVENT_STREAMS="1", JOBPROC_EVENT_HEARTBEAT_SECONDS="0.00001")
    job_id = system.submit("square_sum", 1)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    reader.connect(("127.0.0.1", system.port))
    reader.sendall(f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: api\r\n\r\n".encode())
    with httpx.Client(base_url=system.client.base_url, timeout=5) as client:

        def status() -> int:
            with client.stream("GET", f"/jobs/{job_id}/events") as answer:
                return answer.status_code

        until("its place is taken", lambda: status() == 503)
        until("its place is free", lambda: status() == 200, 30)
    reader.close()
