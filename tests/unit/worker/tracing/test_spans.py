"""The spans of a worker's jobs: who has one, and when it is recorded."""

import pytest
from opentelemetry.context import attach, set_value
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span

from common.domain.decisions import WORKER_LOST, AttemptOutcome, Failure
from common.domain.job import ClaimedJob
from worker.shared_memory.metrics import Layout, WorkerMetrics
from worker.tracing.spans import Spans, record_lost

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def job(trace: str | None) -> ClaimedJob:
    return ClaimedJob("01a210bb-5620-7a45-bfe3-44512f2156e4", 1, 0, 3, "noop", '{"data":[1]}', None, trace)


def names(kept: InMemorySpanExporter) -> list[str]:
    return [span.name for span in kept.get_finished_spans()]


@pytest.mark.parametrize("trace", [None, "", "nonsense", UNSAMPLED])
def test_a_job_that_is_not_sampled_has_no_span(kept: InMemorySpanExporter, trace: str | None) -> None:
    spans = Spans()
    spans.claimed("q", [job(trace)], 1, WorkerMetrics(Layout((), ["q"]), 1).parent)
    spans.begin(job(trace), "q")
    assert spans.end("1") is None
    record_lost(job(trace), "q", WORKER_LOST, 1.0)
    assert names(kept) == []


def test_what_an_operation_leaves_as_the_current_context_is_gone_after_its_run(kept: InMemorySpanExporter) -> None:
    spans = Spans()
    spans.begin(job(SAMPLED), "q")
    attach(set_value("left", 1))
    assert get_current_span().is_recording()
    assert spans.end("1") is not None
    assert not get_current_span().get_span_context().is_valid
    spans.begin(job(None), "q")
    assert spans.end("1") is None
    assert names(kept) == ["process noop"]


def test_a_settle_in_a_signals_handler_is_recorded_after_the_run_it_interrupted(kept: InMemorySpanExporter) -> None:
    spans = Spans()
    spans.begin(job(SAMPLED), "q")
    first = spans.end("1")
    assert first is not None
    spans.begin(job(SAMPLED), "q")
    spans.settled([("q", first)], 1, in_handler=True)
    assert names(kept) == ["process noop"]
    spans.end("1")
    settle = kept.get_finished_spans()[1]
    assert settle.name == "settle q"
    assert settle.parent is not None
    assert settle.parent.span_id == first.span_id


def test_the_text_of_an_operations_failure_stays_out_and_that_of_our_own_does_not(kept: InMemorySpanExporter) -> None:
    spans = Spans()
    for ended in (AttemptOutcome.ERROR, AttemptOutcome.PERMANENT):
        spans.begin(job(SAMPLED), "q")
        spans.end(Failure(ended, "ValueError", "secret"))
    record_lost(job(SAMPLED), "q", WORKER_LOST, 2.0)
    *ran, lost = kept.get_finished_spans()
    assert not any("secret" in span.to_json() for span in ran)
    assert lost.status.description == WORKER_LOST.error_text
    assert lost.start_time is not None
    assert lost.end_time is not None
    assert lost.end_time - lost.start_time >= 2_000_000_000
