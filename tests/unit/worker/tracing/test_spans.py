"""Spans of a worker's jobs: which jobs have them, and when they are recorded."""

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


def names(exported_spans: InMemorySpanExporter) -> list[str]:
    return [span.name for span in exported_spans.get_finished_spans()]


@pytest.mark.parametrize("trace", [None, "", "nonsense", UNSAMPLED])
def test_a_job_that_is_not_sampled_has_no_span(exported_spans: InMemorySpanExporter, trace: str | None) -> None:
    spans = Spans()
    spans.record_claim("q", [job(trace)], 1, WorkerMetrics(Layout((), ["q"]), 1).parent)
    spans.start_attempt(job(trace), "q")
    assert spans.end_attempt("1") is None
    record_lost(job(trace), "q", WORKER_LOST, 1.0)
    assert names(exported_spans) == []


def test_a_context_that_an_operation_leaves_attached_is_dropped_after_its_attempt(
    exported_spans: InMemorySpanExporter,
) -> None:
    spans = Spans()
    spans.start_attempt(job(SAMPLED), "q")
    attach(set_value("left", 1))
    assert get_current_span().is_recording()
    assert spans.end_attempt("1") is not None
    assert not get_current_span().get_span_context().is_valid
    spans.start_attempt(job(None), "q")
    assert spans.end_attempt("1") is None
    assert names(exported_spans) == ["process noop"]


def test_a_settle_in_a_signal_handler_is_recorded_after_the_interrupted_attempt(
    exported_spans: InMemorySpanExporter,
) -> None:
    spans = Spans()
    spans.start_attempt(job(SAMPLED), "q")
    first = spans.end_attempt("1")
    assert first is not None
    spans.start_attempt(job(SAMPLED), "q")
    spans.record_settle([("q", first)], 1, in_handler=True)
    assert names(exported_spans) == ["process noop"]
    spans.end_attempt("1")
    settle = exported_spans.get_finished_spans()[1]
    assert settle.name == "settle q"
    assert settle.parent is not None
    assert settle.parent.span_id == first.span_id


def test_spans_omit_the_error_texts_of_operations_and_contain_our_own(exported_spans: InMemorySpanExporter) -> None:
    spans = Spans()
    for outcome in (AttemptOutcome.ERROR, AttemptOutcome.PERMANENT):
        spans.start_attempt(job(SAMPLED), "q")
        spans.end_attempt(Failure(outcome, "ValueError", "secret"))
    record_lost(job(SAMPLED), "q", WORKER_LOST, 2.0)
    *failed, lost = exported_spans.get_finished_spans()
    assert not any("secret" in span.to_json() for span in failed)
    assert lost.status.description == WORKER_LOST.error_text
    assert lost.start_time is not None
    assert lost.end_time is not None
    assert lost.end_time - lost.start_time >= 2_000_000_000
