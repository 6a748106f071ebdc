"""A job is one trace from its request to its settle, across all processes that handle it."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rig.collector import GrpcCollector, HttpCollector, Seen
from rig.scrape import MetricsPage
from rig.system import System, until

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
SECRET = 271828182.5  # part of an input; no span may contain its digits


@pytest.fixture
def collector() -> Iterator[HttpCollector]:
    collector = HttpCollector()
    yield collector
    collector.close()


@pytest.fixture
def grpc_collector(tmp_path: Path) -> Iterator[GrpcCollector]:
    folder = tmp_path / "collector"
    folder.mkdir()
    collector = GrpcCollector(folder)
    yield collector
    collector.close()


def named(spans: list[Seen], name: str) -> list[Seen]:
    return [span for span in spans if span.name == name]


def only(spans: list[Seen], name: str) -> Seen:
    matches = named(spans, name)
    assert len(matches) == 1, Counter(span.name for span in spans)
    return matches[0]


def settled(count: int) -> Callable[[list[Seen]], bool]:
    """Return a condition: `count` settle spans and the request span, the last one of the API, have arrived."""
    return lambda spans: (
        len(named(spans, "settle default")) >= count and any(span.name.startswith("POST ") for span in spans)
    )


def runs(operation: str, count: int) -> Callable[[list[Seen]], bool]:
    return lambda spans: len(named(spans, f"process {operation}")) == count


def test_one_job_is_one_trace_over_two_processes(system: System, collector: HttpCollector) -> None:
    system.api(**collector.settings, JOBPROC_ACCESS_LOG="true").worker(concurrency=1, **collector.settings)
    job_id = system.submit("current_span", SECRET)
    seen_inside = system.wait(job_id)["result"]
    spans = [
        span for span in collector.wait("the settle's span", settled(1)) if span.name != "GET /jobs/{job_id}/status"
    ]
    spans = [span for span in spans if span.name != "GET /jobs/{job_id}"]

    request, send, insert = only(spans, "POST /jobs"), only(spans, "send default"), only(spans, "INSERT jobs")
    claim, run, settle = (
        only(spans, "claim default"),
        only(spans, "process current_span"),
        only(spans, "settle default"),
    )
    parents = [
        (request, ""),
        (send, request.id),
        (insert, send.id),
        (claim, send.id),
        (run, send.id),
        (settle, run.id),
        (only(spans, "own"), run.id),
    ]
    assert [(span.parent, span.trace) for span, _ in parents] == [(parent, request.trace) for _, parent in parents]
    assert len(spans) == len(parents)
    assert {span.service for span in (request, send, insert)} == {"jobproc-api"}
    assert {span.service for span in (claim, run, settle)} == {"jobproc-worker"}
    assert seen_inside == f"{run.trace}-{run.id}"
    assert (
        request.began_ns
        <= send.began_ns
        <= insert.began_ns
        <= insert.ended_ns
        <= claim.ended_ns
        <= run.began_ns
        <= run.ended_ns
        <= settle.ended_ns
    )

    assert [span.kind for span in (request, send, insert, claim, run, settle)] == [
        SERVER,
        PRODUCER,
        CLIENT,
        CLIENT,
        CONSUMER,
        CLIENT,
    ]
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/jobs",
        "http.response.status_code": 202,
        "url.scheme": "http",
    }
    assert insert.attributes == {
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.collection.name": "jobs",
    }
    assert send.attributes == {
        "messaging.system": "jobproc",
        "messaging.destination.name": "default",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.message.id": job_id,
        "jobproc.operation": "current_span",
    }
    assert run.attributes["messaging.message.id"] == job_id
    assert run.attributes["messaging.operation.type"] == "process"
    assert (run.attributes["jobproc.attempt"], run.attributes["jobproc.operation"]) == (1, "current_span")
    assert run.attributes["jobproc.wait_seconds"] >= 0
    assert not any(span.failed for span in spans)
    line = next(line for line in system.events("api", "request") if line["method"] == "POST")
    assert (line["trace_id"], line["span_id"]) == (request.trace, request.id)
    assert not any(b"2718281" in body for body in collector.bodies)


def test_retries_are_further_spans_of_the_trace_without_the_input(system: System, collector: HttpCollector) -> None:
    system.api(**collector.settings, FASTAPI_OTEL_AUTO_CONFIGURE="true").worker(
        concurrency=1, **collector.settings
    ).controller()
    job_id = system.submit("fail_times", 2, SECRET)
    wrong = system.client.post(
        "/jobs/?secret=2718281",
        json={"data": ["secret-2718281"], "operation": "noop"},
        headers={"baggage": "k=2718281"},
    )
    assert wrong.status_code == 422
    assert system.wait(job_id)["result"] == 3
    spans = collector.wait("the spans of three attempts", settled(3))
    runs = named(spans, "process fail_times")
    assert [(run.attributes["jobproc.attempt"], run.failed) for run in runs] == [(1, True), (2, True), (3, False)]
    assert {(run.trace, run.parent) for run in runs} == {
        (only(spans, "send default").trace, only(spans, "send default").id)
    }
    for run in runs[:2]:
        assert run.attributes["error.type"] == "RuntimeError"
        assert run.events == [{"name": "exception", "exception.type": "RuntimeError"}]
    failures = system.events("worker", "attempt_failed")
    assert [(line["trace_id"], line["span_id"]) for line in failures] == [(run.trace, run.id) for run in runs[:2]]
    assert collector.paths == {"/v1/traces"}
    assert not any(b"2718281" in body for body in collector.bodies)


def test_each_job_of_a_batch_has_its_own_span(system: System, collector: HttpCollector) -> None:
    system.api(**collector.settings).worker(concurrency=2, **collector.settings)
    ids = system.submit_many("noop", [[n] for n in range(50)])
    spans = collector.wait("the settles' spans", settled(50))
    send, insert, runs = only(spans, "send default"), only(spans, "INSERT jobs"), named(spans, "process noop")
    assert sorted(run.attributes["messaging.message.id"] for run in runs) == sorted(ids)
    assert {(run.trace, run.parent) for run in runs} == {(send.trace, send.id)}
    assert sorted(span.parent for span in named(spans, "settle default")) == sorted(run.id for run in runs)
    assert send.attributes["messaging.batch.message_count"] == insert.attributes["db.operation.batch.size"] == 50
    assert sorted(claim.attributes["messaging.message.id"] for claim in named(spans, "claim default")) == sorted(ids)


@pytest.mark.parametrize(
    ("operation", "data", "error"), [("die_times", (1.0,), "worker_lost"), ("sleep_limited", (30.0,), "timeout")]
)
def test_an_attempt_that_ended_with_its_process_has_a_span_by_the_parent(
    system: System, collector: HttpCollector, operation: str, data: tuple[float], error: str
) -> None:
    system.api(**collector.settings).worker(concurrency=1, **collector.settings).controller()
    job_id = system.submit(operation, *data)
    system.wait(job_id)
    spans = collector.wait("both attempts", runs(operation, 2))
    send, first = only(spans, "send default"), named(spans, f"process {operation}")[0]
    assert (first.trace, first.parent) == (send.trace, send.id)
    assert (first.failed, first.attributes["error.type"], first.attributes["jobproc.attempt"]) == (True, error, 1)
    assert first.attributes["messaging.message.id"] == job_id
    if error == "timeout":
        assert (first.ended_ns - first.began_ns) / 1e9 > 0.4


def test_processes_forked_after_the_parent_has_sent_spans_trace_over_grpc(
    system: System, grpc_collector: GrpcCollector
) -> None:
    system.api(**grpc_collector.settings).worker(concurrency=1, **grpc_collector.settings).controller()
    for round_ in range(1, 4):
        system.wait(system.submit("die_times", 1))
        spans = grpc_collector.wait("both attempts", runs("die_times", 2 * round_))
        assert [run.failed for run in named(spans, "process die_times")] == [True, False] * round_
    assert system.end("worker") == 0


def test_an_attempt_that_ended_with_its_whole_worker_has_a_span_by_the_controller(
    system: System, collector: HttpCollector
) -> None:
    system.api(**collector.settings).worker(concurrency=1, **collector.settings).controller(**collector.settings)
    job_id = system.submit("sleep", 60)
    system.wait_status(job_id, "IN_PROGRESS")
    for pid in system.children():
        os.kill(pid, signal.SIGSTOP)
    system.kill("worker")
    spans = collector.wait("the lost attempt", lambda spans: bool(named(spans, "process sleep")))
    lost, send = only(spans, "process sleep"), only(spans, "send default")
    assert (lost.service, lost.parent, lost.trace) == ("jobproc-controller", send.id, send.trace)
    assert (lost.failed, lost.attributes["error.type"], lost.attributes["jobproc.attempt"]) == (True, "worker_lost", 1)


def test_the_clients_trace_and_its_sampling_decision_are_continued(system: System, collector: HttpCollector) -> None:
    system.api(**collector.settings).worker(concurrency=1, **collector.settings)
    for flags in ("00", "01"):
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", "baggage": "user=2718281", "tracestate": "v=2718281"}
        response = system.client.post("/jobs/", json={"data": [1], "operation": "noop"}, headers=headers)
        job_id = response.json()["job_id"]
        system.wait_all()
    spans = collector.wait("the settle's span", settled(1))
    request = only(spans, "POST /jobs")
    assert (request.trace, request.parent) == (TRACE, SPAN)
    assert {span.trace for span in spans} == {TRACE}
    assert only(spans, "process noop").attributes["messaging.message.id"] == job_id
    assert system.database.rows("SELECT trace IS NULL FROM jobs ORDER BY id") == [(True,), (False,)]
    traces = [system.job(job["job_id"])["trace_id"] for job in system.client.get("/jobs").json()["jobs"]]
    assert traces == [TRACE, None], "a client finds the trace of a job that was sampled"
    assert not any(b"2718281" in body for body in collector.bodies)


def test_histograms_have_exemplars_of_the_sampled_traces(system: System, collector: HttpCollector) -> None:
    api, worker = MetricsPage(), MetricsPage()
    system.api(**collector.settings, JOBPROC_METRICS_PORT=api.port)
    system.worker(concurrency=1, **collector.settings, JOBPROC_METRICS_PORT=worker.port)
    system.client.post(
        "/jobs/", json={"data": [1], "operation": "noop"}, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"}
    )
    system.wait_all()
    other = {"traceparent": f"00-{TRACE[::-1]}-{SPAN}-00"}
    system.client.post("/jobs/", json={"data": [1], "operation": "noop"}, headers=other)
    until(
        "the untraced job is counted too",
        lambda: worker.value("jobproc_attempt_duration_seconds_count", operation="noop") == 2,
    )
    seen = until(
        "the request is counted", lambda: {key: trace for key, trace in api.traces().items() if key[1] == "/jobs"}
    )
    assert seen == {("jobproc_http_request_duration_seconds", "/jobs"): TRACE}
    assert worker.traces() == {
        ("jobproc_attempt_duration_seconds", "noop"): TRACE,
        ("jobproc_start_delay_seconds", "default"): TRACE,
    }
    assert "trace_id" not in worker.text() + api.text()


def test_the_last_spans_are_sent_at_the_end_of_the_processes(system: System, collector: HttpCollector) -> None:
    unscheduled = {**collector.settings, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    system.api(**unscheduled).worker(concurrency=1, **unscheduled)
    system.submit("noop", 1)
    system.wait_all()
    assert collector.spans() == []
    assert (system.end("worker"), system.end("api")) == (0, -signal.SIGTERM)
    assert {"POST /jobs", "send default", "INSERT jobs", "claim default", "process noop", "settle default"} <= {
        span.name for span in collector.spans()
    }


def test_an_unavailable_collector_delays_no_job(system: System, collector: HttpCollector) -> None:
    unreachable = {**collector.settings, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    system.api(**unreachable).worker(concurrency=1, **unreachable)
    assert system.wait(system.submit("noop", 1))["status"] == "SUCCESS"
    assert (system.end("worker"), system.end("api")) == (0, -signal.SIGTERM)


def test_an_unsupported_protocol_prevents_the_start(system: System, collector: HttpCollector) -> None:
    process = system.spawn("worker", "worker", **collector.settings, OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
    assert process.wait(20) == 1
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/json" in system.log("worker")
    assert json.dumps("starting") not in system.log("worker")
