"""GET /jobs/{id}/logs: pages of what an operation has logged, and the stream that follows it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from rig.scrape import MetricsPage
from rig.system import System, until

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"


@dataclass
class Follower:
    """A client that follows a log, with a thread that reads."""

    response: httpx.Response
    events: list[dict[str, Any]] = field(default_factory=list)
    has_ended: bool = False

    def read(self) -> None:
        """Read until the stream or the connection ends."""
        event: dict[str, Any] = {}
        for line in self.response.iter_lines():
            if line.startswith(("event", "id", "data")):
                name, _, value = line.partition(": ")
                event[name] = json.loads(value) if name == "data" else value
            elif not line and event:
                self.events.append(event)
                event = {}
        self.has_ended = True

    @property
    def messages(self) -> list[str]:
        return [event["data"]["message"] for event in self.events if event["event"] == "line"]


@contextmanager
def follow(system: System, job_id: str, last_event_id: str = "", **parameters: Any) -> Iterator[Follower]:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    with (
        httpx.Client(base_url=system.client.base_url, timeout=30) as client,
        client.stream("GET", f"/jobs/{job_id}/logs", params={"follow": True, **parameters}, headers=headers) as answer,
    ):
        follower = Follower(answer)
        thread = threading.Thread(target=follower.read)
        if answer.status_code == 200:
            thread.start()
        yield follower
        if answer.status_code == 200:
            thread.join(30)


def store(system: System, job_id: str, *last_lines: int) -> None:
    """Store chunks of ten lines, each up to a number, for the first attempt of a job."""
    for last in last_lines:
        chunk = [
            {
                "line": number,
                "at": "2025-11-21T09:52:37.159Z",
                "level": "info",
                "logger": "acme",
                "message": f"line {number}",
            }
            for number in range(last - 9, last + 1)
        ]
        system.database.rows(
            "INSERT INTO job_logs (id, run, attempt, last_line, total_bytes, lines) VALUES (%s, 0, 1, %s, %s, %s)",
            (job_id, last, last * 100, json.dumps(chunk)),
        )


def test_pages_have_all_lines_once_in_their_order(system: System) -> None:
    system.api()
    job_id = system.submit("square_sum", 1)
    store(system, job_id, *range(10, 501, 10))
    url, seen, pages = f"/jobs/{job_id}/logs?limit=37", list[int](), 0
    while url:
        page = system.client.get(url).json()
        assert len(page["lines"]) <= 37
        seen += [line["line"] for line in page["lines"]]
        url, pages = page["next"], pages + 1
    assert seen == list(range(1, 501))
    assert pages > 500 // 37
    line = system.client.get(f"/jobs/{job_id}/logs", params={"limit": 1}).json()["lines"][0]
    assert line == {
        "attempt": 1, "line": 1, "at": "2025-11-21T09:52:37.159Z", "level": "info", "logger": "acme",
        "message": "line 1", "exception": None,
    }  # fmt: skip
    assert system.client.get(f"/jobs/{job_id}/logs?attempt=2").json()["lines"] == []
    assert system.client.head(f"/jobs/{job_id}/logs").status_code == 200


def test_a_log_that_cannot_be_read_gets_a_problem(read_only_system: System, assert_problem: Callable[..., Any]) -> None:
    get = read_only_system.client.get
    assert_problem(get(f"/jobs/{UNKNOWN}/logs"), 404, "job-not-found")
    assert_problem(get(f"/jobs/{UNKNOWN}/logs?follow=true"), 404, "job-not-found")
    for query in ("attempt=0", "run=-1", "limit=0", "limit=1001", "cursor=x", "cursor=0.1", "follow=maybe"):
        assert_problem(get(f"/jobs/{UNKNOWN}/logs?{query}"), 422, "invalid-parameter")
    assert_problem(get(f"/jobs/{UNKNOWN}/logs?run=1&cursor=0.1.1"), 422, "invalid-parameter")
    for follows in ("true", "false"):
        response = get(f"/jobs/{UNKNOWN}/logs?follow={follows}", headers={"Last-Event-ID": "x"})
        if follows == "true":
            assert_problem(response, 422, "invalid-parameter")


def test_a_run_that_does_not_exist_is_refused(system: System, assert_problem: Callable[..., Any]) -> None:
    system.api()
    job_id = system.submit("square_sum", 1)
    for follows in ("false", "true"):
        assert_problem(system.client.get(f"/jobs/{job_id}/logs?run=1&follow={follows}"), 422, "invalid-parameter")


def test_a_follower_gets_lines_while_the_job_runs_and_its_end(system: System) -> None:
    system.api().worker(concurrency=1)
    job_id = system.submit("say_then_wait", 1)
    with follow(system, job_id) as follower:
        assert follower.response.headers["content-type"].startswith("text/event-stream")
        until("the first line is streamed", lambda: follower.messages == ["before"])
        (system.folder / "go").touch()
        until("the stream ends", lambda: follower.has_ended, 10)
    assert follower.messages == ["before", "after"]
    assert follower.events[-1] == {"event": "end", "data": {"status": "SUCCESS"}}
    first, second = (event["id"] for event in follower.events[:2])
    with follow(system, job_id, first) as resumed:
        pass
    assert resumed.messages == ["after"]
    with follow(system, job_id, second) as over:
        assert over.response.status_code == 204, "a browser does not reconnect after 204"


def test_a_follower_of_a_long_log_gets_all_of_it(system: System) -> None:
    system.api(JOBPROC_WAIT_POLL_SECONDS="10")
    job_id = system.submit("square_sum", 1)
    store(system, job_id, *range(10, 1_001, 10))
    system.client.post(f"/jobs/{job_id}/cancel")
    system.database.rows("UPDATE outcomes SET finished_at = finished_at - interval '1 minute'")
    with follow(system, job_id) as follower:
        pass
    assert follower.messages == [f"line {number}" for number in range(1, 1_001)]
    assert follower.events[-1]["data"] == {"status": "CANCELLED"}


@pytest.mark.parametrize("limit", ["JOBPROC_LOG_STREAM_MAX_CLIENTS"])
def test_followers_are_limited_in_number_and_end_with_the_process(system: System, limit: str) -> None:
    page = MetricsPage()
    system.api(JOBPROC_METRICS_PORT=page.port, **{limit: "1"})
    job_id = system.submit("square_sum", 1)
    with follow(system, job_id) as follower:
        until("it is counted", lambda: page.value("jobproc_waiting_clients", kind="logs") == 1)
        full = system.client.get(f"/jobs/{job_id}/logs?follow=true")
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert full.json()["type"] == "urn:jobproc:problem:too-many-waiting"
        assert page.value("jobproc_refusals_total", reason="log_streams") == 1
        assert system.client.get(f"/jobs/{job_id}/logs").status_code == 200
        system.end("api")
        until("the stream ends in order", lambda: follower.has_ended, 5)
    assert follower.events == []
