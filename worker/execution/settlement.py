"""What a thread has run, and what it says of it to the database: settle with the next claim, and what to do when that fails."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg2

from common import failpoints
from common.domain.decisions import RELEASED, Ended, Fail, Failure, Release, Spent, decide
from common.domain.job import Claimed
from common.domain.retry import DEFAULT_RETRY
from common.settings import Settings
from common.store.connection.psycopg2_session import AWAY
from common.store.jobs import claims, failures, running_keys
from common.store.jobs.claims import Results
from common.telemetry import logs
from worker.execution.attempt import printable
from worker.execution.pending_results import Endings
from worker.execution.worker_session import Holder
from worker.operations.registry import Operation
from worker.shared_memory.metrics import Meter, Outcome, outcome

if TYPE_CHECKING:  # imported only while tracing is on
    from worker.tracing.spans import Spans

log = logs.get("worker")
#: Results that are settled before there are more: settling costs seven times their size (half a GiB for sixty results of a MiB).
MOST_CHARACTERS = 4_000_000


class Exchange:
    """Settles and claims for one thread."""

    def __init__(self, settings: Settings, holder: Holder, meter: Meter, operations: Mapping[str, Operation]) -> None:
        self._settings = settings
        self._holder = holder
        self._meter = meter
        self._operations = operations
        self._ended = Endings()  # and not stored yet
        self.spans: Spans | None = None  #: None: tracing is off

    def _under_way(self) -> Sequence[Claimed]:
        """Return what goes on running while the connection is made anew."""
        return ()

    def _exchange(self, queue: str, wanted: int) -> list[Claimed]:
        """Settle what has ended and claim more, in one transaction. A lost connection is waited out."""
        hold = self._holder
        while True:
            ended = self._ended
            marks = hold.marks(queue)
            began_ns = time.time_ns()
            try:
                failpoints.reach("settle.before_commit")
                if ended.decided:
                    with hold.hot.transaction():
                        stood = len(failures.write(hold.hot, hold.worker, ended.decided))
                        settled, jobs = claims.settle_and_claim(hold.hot, hold.worker, ended.results, queue, marks, wanted)
                else:
                    stood = 0
                    settled, jobs = claims.settle_and_claim(hold.hot, hold.worker, ended.results, queue, marks, wanted)
                failpoints.reach("settle.after_commit")
                failpoints.reach("claim.after_commit")
            except AWAY as error:
                self._away(error)
                continue
            except psycopg2.Error as error:
                self._one_by_one(error)
                continue
            self._count_fenced(len(ended) - stood - settled)
            self._forget(began_ns)
            self._meter.claimed(queue, jobs)
            if self.spans is not None:
                self.spans.claimed(queue, jobs, began_ns, self._meter)
            return jobs

    def _forget(self, began_ns: int, *, in_handler: bool = False) -> None:
        """Forget what has ended: it is stored, which began at that time."""
        if self.spans is not None and self._ended.spans:
            self.spans.settled(self._ended.spans, began_ns, in_handler=in_handler)
        self._holder.tell(self._ended)
        self._ended = Endings()

    def _settle(self) -> None:
        """Settle what has ended and claim nothing."""
        if not self._ended:
            return
        hold, ended, began_ns = self._holder, self._ended, time.time_ns()
        try:
            failpoints.reach("settle.before_commit")
            with hold.hot.transaction():
                stood = failures.write(hold.hot, hold.worker, ended.decided)
                stood |= claims.settle(hold.hot, hold.worker, ended.results)
            failpoints.reach("settle.after_commit")
            self._count_fenced(len(ended) - len(stood))
            self._forget(began_ns)
        except AWAY as error:
            self._away(error)
        except psycopg2.Error as error:
            self._one_by_one(error)

    def _away(self, error: Exception) -> None:
        log.warning("database_away", reason=str(error).strip(), worker=self._holder.worker)
        self._come_back()

    def _come_back(self) -> None:
        """Settle what has ended under the old id, and take a new one."""
        ended, began_ns = self._ended, time.time_ns()
        self._count_fenced(len(ended) - self._holder.reconnect(ended.results, ended.decided, self._under_way()))
        self._forget(began_ns)

    def _one_by_one(self, error: psycopg2.Error) -> None:
        """Store what has ended row by row."""
        log.error("settle_refused", reason=str(error).strip(), worker=self._holder.worker)
        ended, began_ns = self._ended, time.time_ns()
        try:
            fenced = _store_row_by_row(self._holder, ended, self._settings.max_error_characters)
        except AWAY as away:
            self._away(away)
        else:
            self._count_fenced(fenced)
            self._forget(began_ns)

    def _count_fenced(self, fenced: int) -> None:
        if fenced > 0:
            self._meter.refused(fenced)
            log.warning("results_refused", count=fenced, worker=self._holder.worker)

    def _give_back(self, queue: str, jobs: Sequence[Claimed]) -> None:
        """Let jobs of a queue go that have not begun: with what has ended."""
        for job in jobs:
            self._ended.decided.append((job, Release(RELEASED)))
            self._meter.ended(job.operation, queue, Outcome.RELEASED, None)

    def _may_run(self, job: Claimed) -> bool:
        """Read its input where that is too great to come with a batch; take the key of one that others may not run beside."""
        special = job.special
        if special is None or (special.mutex is None and not special.large):
            return True
        try:
            if special.large:
                job.input = claims.input_of(self._holder.hot, job.id)
            put_off_s = self._settings.unique_retry_seconds
            return special.mutex is None or running_keys.take(self._holder.hot, self._holder.worker, special.mutex, job.id, job.attempt, put_off_s)
        except AWAY as error:
            self._away(error)
            return False

    def _failed(self, job: Claimed, operation: Operation | None, failure: Failure, took_s: float) -> Outcome:
        """Decide about an attempt that gave no result; returns how it ended."""
        policy = operation.spec.retry if operation else DEFAULT_RETRY
        decision = decide(job, replace(failure, spent=Spent(took_s)), policy, random.random(), self._settings.max_crashes)  # noqa: S311 - jitter
        self._ended.decided.append((job, decision))
        log.debug("attempt_failed", job_id=job.id, attempt=job.attempt, error=failure.error_type, decision=type(decision).__name__)
        return outcome(decision)


def _store_row_by_row(holder: Holder, ended: Endings, most_characters: int) -> int:
    """Store each alone; the bad one fails with a code and the reason, cut to so many characters. Returns how many were fenced.

    Raises what is in AWAY; what had been stored by then stays.
    """
    fenced = 0
    for job, text, run_s in ended.results.each():
        one = Results()
        one.add(job, text, run_s)
        fenced += not _or_fail(holder, job, lambda one=one: claims.settle(holder.hot, holder.worker, one), most_characters)  # type: ignore[misc]  # a default binds it
    for pair in ended.decided:
        fenced += not _or_fail(holder, pair[0], lambda pair=pair: failures.write(holder.hot, holder.worker, [pair]), most_characters)  # type: ignore[misc]  # as above
    return fenced


def _or_fail(holder: Holder, job: Claimed, write: Callable[[], set[str]], most_characters: int) -> set[str]:
    try:
        return write()
    except AWAY:
        raise
    except psycopg2.Error as refused:
        reason = printable(str(refused).strip(), most_characters)
        return failures.write(holder.hot, holder.worker, [(job, Fail(Failure(Ended.PERMANENT, "result_not_stored", reason)))])
