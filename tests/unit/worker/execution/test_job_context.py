"""Progress reports: bounded, cleaned, and stored no more often than is set; cancellation as an operation sees it."""

import time
from collections.abc import Sequence
from typing import Any, cast

import pytest

from common.domain.job import ClaimedJob
from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from jobproc import Cancelled
from worker.execution.job_context import MAX_TEXT_CHARACTERS, JobContext
from worker.execution.worker_session import WorkerSession
from worker.shared_memory.slots import Slots

HOUR = 3600.0
INSTANT = 1e-9


class FakeConnection:
    """A database connection that records statements and answers as if the job were still this worker's."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.is_owned = True
        self.context: JobContext | None = None

    def run(self, statement: Statement, arguments: Sequence[object]) -> list[tuple[Any, ...]]:
        assert statement.name == "progress"
        assert self.context is not None
        assert self.context.storing
        self.sent.append(tuple(arguments))
        return [("some-id",)] if self.is_owned else []


def context_with_interval(seconds: float) -> tuple[JobContext, FakeConnection]:
    session = WorkerSession(Settings(), Slots(1, 1).all[0], ["default"], [])
    connection = FakeConnection()
    session._connection, session.worker = cast("WorkerConnection", connection), 7
    connection.context = JobContext(
        ClaimedJob("some-id", 2, 0, 3, "noop", "{}", None), session, Settings(progress_min_interval_seconds=seconds)
    )
    return connection.context, connection


def test_the_context_has_the_id_and_attempt_of_its_job(bare: pytest.MonkeyPatch) -> None:
    context, _ = context_with_interval(HOUR)
    assert (context.job_id, context.attempt) == ("some-id", 2)


def test_the_first_report_is_stored_at_once_with_its_fence_and_the_next_ones_are_skipped(
    bare: pytest.MonkeyPatch,
) -> None:
    context, connection = context_with_interval(HOUR)
    assert [context.progress(number / 10, "on the way") for number in range(1, 10)] == [True] * 9
    assert connection.sent == [(7, "some-id", 2, 0.1, "on the way")]
    assert not context.storing


def test_a_report_is_stored_again_after_the_interval(bare: pytest.MonkeyPatch) -> None:
    context, connection = context_with_interval(0.05)
    began = time.monotonic()
    while len(connection.sent) < 4 and time.monotonic() < began + 10:
        context.progress(0.5)
    assert len(connection.sent) == 4
    assert time.monotonic() - began >= 0.15


@pytest.mark.parametrize(
    ("fraction", "stored"),
    [
        (0.25, 0.25),
        (1, 1.0),
        (-1.0, 0.0),
        (7.5, 1.0),
        (None, None),
        (float("nan"), 0.0),
        (float("inf"), 1.0),
        (float("-inf"), 0.0),
    ],
)
def test_a_fraction_is_limited_to_0_to_1(
    bare: pytest.MonkeyPatch, fraction: float | None, stored: float | None
) -> None:
    """The table accepts no other fraction: a careless number must not fail the job."""
    context, connection = context_with_interval(INSTANT)
    context.progress(fraction)
    assert connection.sent[0][3] == stored


def test_a_text_is_cleaned_and_cut(bare: pytest.MonkeyPatch) -> None:
    context, connection = context_with_interval(INSTANT)
    context.progress(0.5, "half\x00way\ud800")
    context.progress(0.5, "x" * 1000)
    assert connection.sent[0][4] == "half\ufffdway?"
    assert connection.sent[1][4] == "x" * (MAX_TEXT_CHARACTERS - 1) + "…"


def test_once_the_job_is_another_workers_every_report_returns_false_and_none_is_sent(bare: pytest.MonkeyPatch) -> None:
    context, connection = context_with_interval(INSTANT)
    assert context.progress(0.1)
    connection.is_owned = False
    assert not context.progress(0.2)
    connection.is_owned = True
    assert not context.progress(0.3)
    assert len(connection.sent) == 2


def test_an_error_while_a_report_is_stored_frees_the_connection_for_alarms(bare: pytest.MonkeyPatch) -> None:
    context, connection = context_with_interval(INSTANT)
    connection.context = None
    with pytest.raises(AssertionError):
        context.progress(0.1)
    assert not context.storing


def test_without_a_connection_the_job_counts_as_owned(bare: pytest.MonkeyPatch) -> None:
    """The settle finds out who owns the job; operations must not give up while the database is unavailable."""
    session = WorkerSession(Settings(), Slots(1, 1).all[0], ["default"], [])
    assert JobContext(ClaimedJob("some-id", 1, 0, 3, "noop", "{}", None), session, Settings()).progress(0.5)


def test_a_cancelled_job_is_notified_through_its_slot_alone(bare: pytest.MonkeyPatch) -> None:
    context, connection = context_with_interval(INSTANT)
    slot = cast("WorkerSession", context._reporter)._slot
    slot.take()
    slot.set_batch([ClaimedJob("01900000-0000-7000-8000-000000000000", 2, 0, 3, "noop", "{}", None)])
    slot.start_job(0)
    assert not context.cancelled
    context.check()
    assert context.progress(0.5)
    assert slot.running is not None
    slot.request_cancel(slot.running)
    assert context.cancelled
    assert not context.progress(0.6)
    with pytest.raises(Cancelled):
        context.check()
    assert len(connection.sent) == 1
