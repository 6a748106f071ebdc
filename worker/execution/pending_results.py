"""Attempts that have ended in a process and are not settled yet."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import psycopg2

from common.domain.decisions import AttemptOutcome, AttemptUsage, Decision, Fail, Failure
from common.domain.job import ClaimedJob, ConcurrencyKey, RunningKey
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.jobs import failures
from common.store.webhooks import settle as webhook_settle
from common.store.workers.results import Results
from worker.execution.attempt import printable

if TYPE_CHECKING:  # imported only while tracing is on
    from opentelemetry.trace import SpanContext


class PendingResults:
    """Attempts that have ended: results of successes, decisions on failures and releases, spans of traced ones."""

    __slots__ = ("concurrency_keys", "decisions", "results", "running_keys", "spans")

    def __init__(self) -> None:
        self.results = Results()
        self.decisions: list[tuple[ClaimedJob, Decision]] = []
        self.running_keys: set[RunningKey] = set()  #: unique keys that the attempts held while they ran
        self.concurrency_keys: set[ConcurrencyKey] = set()  #: of which the attempts had places
        self.spans: list[tuple[str, SpanContext]] = []  #: of the traced attempts, each with its queue

    def __len__(self) -> int:
        return len(self.results.ids) + len(self.decisions)

    @property
    def has_keys(self) -> bool:
        """True if others may wait for a key of an attempt."""
        return bool(self.running_keys or self.concurrency_keys)

    @property
    def has_consequences(self) -> bool:
        """True if the settle may wake, unblock or add jobs, or store deliveries: it is several statements then."""
        results = self.results
        return self.has_keys or results.have_webhook or results.have_children or bool(results.added)

    def add_keys(self, job: ClaimedJob) -> None:
        """Add the keys that an attempt held."""
        if job.running_key is not None:
            self.running_keys.add(job.running_key)
        if job.concurrency_key is not None:
            self.concurrency_keys.add(job.concurrency_key)

    @property
    def execution_s(self) -> float:
        """The sum of the seconds that the attempts spent in their operations."""
        return sum(self.results.execution_us) / 1e6 + sum(
            decision.failure.usage.execution_s or 0.0 for _, decision in self.decisions
        )

    def set_usage(self, cpu_share: float, peak_mib: float) -> None:
        """Set the usage of all attempts: CPU time as a share of the time in the operation, and the memory peak."""
        self.results.cpu_share, self.results.peak_mib = cpu_share, peak_mib
        self.decisions = [(job, _with_usage(decision, cpu_share, peak_mib)) for job, decision in self.decisions]


def _with_usage(decision: Decision, cpu_share: float, peak_mib: float) -> Decision:
    failure = decision.failure
    execution_s = failure.usage.execution_s
    if execution_s is None:  # the attempt was released before it ran
        return decision
    usage = AttemptUsage(execution_s, execution_s * cpu_share, peak_mib)
    return replace(decision, failure=replace(failure, usage=usage))


def write_all(connection: WorkerConnection, worker: int, pending: PendingResults) -> set[str]:
    """Store ended attempts in the caller's transaction; returns the ids of the jobs whose attempts were not fenced."""
    stored = failures.write_decisions(connection, worker, pending.decisions)
    return stored | webhook_settle.settle(connection, worker, pending.results)


def write_each(connection: WorkerConnection, worker: int, pending: PendingResults, max_error_characters: int) -> int:
    """Store each attempt in its own transaction; an attempt that PostgreSQL rejects fails with `result_not_stored`.

    Returns the number of fenced attempts. Raises DatabaseUnavailable; attempts stored before that stay stored.
    """
    fenced = 0
    for job, result, execution_s in pending.results.rows():
        single = Results()
        single.add(job, result, execution_s)
        single.have_webhook = pending.results.have_webhook
        write = partial(webhook_settle.settle, connection, worker, single)
        fenced += not _write_or_fail(connection, worker, job, write, max_error_characters)
    for job, decision in pending.decisions:
        write = partial(failures.write_decisions, connection, worker, [(job, decision)])
        fenced += not _write_or_fail(connection, worker, job, write, max_error_characters)
    return fenced


def _write_or_fail(
    connection: WorkerConnection, worker: int, job: ClaimedJob, write: Callable[[], set[str]], max_error_characters: int
) -> set[str]:
    try:
        return write()
    except DatabaseUnavailable:
        raise
    except psycopg2.Error as error:
        reason = printable(str(error).strip(), max_error_characters)
        decision = Fail(Failure(AttemptOutcome.PERMANENT, "result_not_stored", reason))
        return failures.write_decisions(connection, worker, [(job, decision)])
