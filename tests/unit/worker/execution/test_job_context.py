"""Progress reports: bounded, cleaned, and not stored more often than is set."""

import time
from collections.abc import Sequence
from typing import Any, cast

import pytest

from common.domain.errors import Cancelled
from common.domain.job import ClaimedJob
from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from worker.execution.job_context import MAX_TEXT_CHARACTERS, JobContext
from worker.execution.worker_session import WorkerSession
from worker.shared_memory.slots import Slots

HOUR = 3600.0


class Connection:
    """Stands where the database's connection is: remembers what is sent, answers as if the job were still ours."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.ours = True
        self.progress: JobContext | None = None

    def run(self, statement: Statement, arguments: Sequence[object]) -> list[tuple[Any, ...]]:
        assert statement.name == "progress"
        assert self.progress is not None
        assert self.progress.storing
        self.sent.append(tuple(arguments))
        return [("some-id",)] if self.ours else []


def progress_every(seconds: float) -> tuple[JobContext, Connection]:
    session = WorkerSession(Settings(), Slots(1, 1).all[0], ["default"], [])
    connection = Connection()
    session._connection, session.worker = cast("WorkerConnection", connection), 7
    connection.progress = JobContext(ClaimedJob("some-id", 2, 0, 3, "noop", "{}", None), session, seconds)
    return connection.progress, connection


def test_the_context_knows_its_job(bare: pytest.MonkeyPatch) -> None:
    progress, _ = progress_every(HOUR)
    assert (progress.job_id, progress.attempt) == ("some-id", 2)


def test_the_first_report_is_stored_at_once_under_the_fence_and_the_next_ones_wait(bare: pytest.MonkeyPatch) -> None:
    progress, connection = progress_every(HOUR)
    assert [progress.progress(number / 10, "on the way") for number in range(1, 10)] == [True] * 9
    assert connection.sent == [(7, "some-id", 2, 0.1, "on the way")]
    assert not progress.storing


def test_a_report_is_stored_again_after_the_pause(bare: pytest.MonkeyPatch) -> None:
    progress, connection = progress_every(0.05)
    began = time.monotonic()
    while len(connection.sent) < 4 and time.monotonic() < began + 10:
        progress.progress(0.5)
    assert len(connection.sent) == 4
    assert time.monotonic() - began >= 0.15


@pytest.mark.parametrize(
    ("fraction", "stored"), [(0.25, 0.25), (1, 1.0), (-1.0, 0.0), (7.5, 1.0), (None, None), (float("nan"), 0.0), (float("inf"), 1.0), (float("-inf"), 0.0)]
)
def test_a_fraction_is_kept_between_0_and_1(bare: pytest.MonkeyPatch, fraction: float | None, stored: float | None) -> None:
    """The table takes no other: a careless number must not fail the job."""
    progress, connection = progress_every(0)
    progress.progress(fraction)
    assert connection.sent[0][3] == stored


def test_a_text_is_cleaned_and_cut(bare: pytest.MonkeyPatch) -> None:
    progress, connection = progress_every(0)
    progress.progress(0.5, "half\x00way\ud800")
    progress.progress(0.5, "x" * 1000)
    assert connection.sent[0][4] == "half\ufffdway?"
    assert connection.sent[1][4] == "x" * (MAX_TEXT_CHARACTERS - 1) + "…"


def test_once_the_job_is_anothers_every_report_says_so_and_none_is_sent(bare: pytest.MonkeyPatch) -> None:
    progress, connection = progress_every(0)
    assert progress.progress(0.1)
    connection.ours = False
    assert not progress.progress(0.2)
    connection.ours = True
    assert not progress.progress(0.3)
    assert len(connection.sent) == 2


def test_an_error_while_it_is_stored_leaves_no_trace(bare: pytest.MonkeyPatch) -> None:
    progress, connection = progress_every(0)
    connection.progress = None
    with pytest.raises(AssertionError):
        progress.progress(0.1)
    assert not progress.storing


def test_without_a_connection_the_job_is_taken_to_be_ours(bare: pytest.MonkeyPatch) -> None:
    """The settle will find out; a database that is away must not make operations give up."""
    session = WorkerSession(Settings(), Slots(1, 1).all[0], ["default"], [])
    assert JobContext(ClaimedJob("some-id", 1, 0, 3, "noop", "{}", None), session, 0).progress(0.5)


def test_a_cancelled_job_is_told_by_the_seat_alone(bare: pytest.MonkeyPatch) -> None:
    progress, connection = progress_every(0.0)
    slot = cast("WorkerSession", progress._reporter)._slot
    slot.take()
    slot.set_batch([ClaimedJob("01900000-0000-7000-8000-000000000000", 2, 0, 3, "noop", "{}", None)])
    slot.start_job(0)
    assert not progress.cancelled
    progress.check()
    assert progress.progress(0.5)
    assert slot.running is not None
    slot.request_cancel(slot.running)
    assert progress.cancelled
    assert not progress.progress(0.6)
    with pytest.raises(Cancelled):
        progress.check()
    assert len(connection.sent) == 1
