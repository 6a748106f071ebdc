"""Jobs of workers that are gone, and jobs that everybody has passed by."""

import random
import time
from collections.abc import Mapping

import psycopg2

from common import failpoints
from common.domain.decisions import DEADLINE_EXCEEDED, WORKER_LOST, Decision, Ended, Fail, Failure, Release, decide
from common.domain.job import Claimed
from common.domain.operation_spec import OperationSpec
from common.domain.retry import DEFAULT_RETRY
from common.store.connection.psycopg2_session import AWAY, Hot
from common.store.jobs import deadlines, failures
from common.store.queues import queue_state
from common.store.workers import leases
from common.telemetry import logs
from worker.tracing import lost_attempts

log = logs.get("controller")
MOST_WORKERS = 100  # looked at in one tick
MOST_JOBS = 1_000  # given back in one transaction
MOST_STARVED = 100  # raised in one tick, a queue and priority
MOST_STRAYS = 10_000  # floated in one look, a queue and priority
RECENT_S = 60.0  # how far back the look of every tick goes
FULL_LOOK_S = 60.0  # time between two looks at everything


class Rescue:
    """Gives back what lost workers held, floats strays, ends what is past its deadline."""

    def __init__(self, max_crashes: int) -> None:
        """`max_crashes`: lost attempts that end a job."""
        self._max_crashes = max_crashes
        self._full_look = 0.0

    def lost_workers(self, hot: Hot, operations: Mapping[str, OperationSpec]) -> tuple[int, set[str]]:
        """Charge or give up the jobs of workers whose lease has ended. Returns how many jobs, and their queues."""
        return self._of_workers(hot, leases.expired(hot, MOST_WORKERS), operations)

    def leftovers(self, hot: Hot, operations: Mapping[str, OperationSpec]) -> tuple[int, set[str]]:
        """Do the same for workers that ended before, but hold jobs: a claim that committed after its worker's rescue."""
        return self._of_workers(hot, leases.orphaned(hot, MOST_WORKERS), operations)

    def _of_workers(self, hot: Hot, lost: list[int], operations: Mapping[str, OperationSpec]) -> tuple[int, set[str]]:
        count, touched = 0, set[str]()
        for worker in lost:
            try:
                with hot.transaction():
                    if not leases.alone(hot, worker):
                        continue
                    held = failures.held(hot, worker, MOST_JOBS)
                    failpoints.reach("sweep.between_select_and_update")
                    failures.write(hot, worker, self._decided([job for job, _ in held], operations))
                    if len(held) < MOST_JOBS:  # else it keeps its place among the expired, and the next tick takes more
                        leases.end(hot, worker)
            except AWAY:
                raise
            except psycopg2.Error as refused:
                held = self._one_by_one(hot, worker, operations, refused)
            if held:
                log.warning("jobs_rescued", worker=worker, count=len(held))
            for job, queue in held:
                lost_attempts.record(job, queue, WORKER_LOST, 0.0)
            count, touched = count + len(held), touched | {queue for _, queue in held}
        return count, touched

    def _decided(self, held: list[Claimed], operations: Mapping[str, OperationSpec]) -> list[tuple[Claimed, Decision]]:
        """Decide about what a lost process held. Of several nobody knows which one ran: none is charged, and each runs alone from then on."""
        if len(held) > 1:
            return [(job, Release(WORKER_LOST, alone=True)) for job in held]
        policies = [spec.retry if (spec := operations.get(job.operation)) else DEFAULT_RETRY for job in held]
        return [(job, decide(job, WORKER_LOST, policy, random.random(), self._max_crashes)) for job, policy in zip(held, policies, strict=True)]  # noqa: S311 - jitter

    def late(self, hot: Hot) -> tuple[int, set[str]]:
        """End what waits past its deadline."""
        failure = DEADLINE_EXCEEDED
        return deadlines.end_late(hot, MOST_JOBS, failure.error_type, failure.error_text), set()

    def starved(self, hot: Hot, waited_s: float) -> tuple[int, set[str]]:
        """Raise what has waited for so long behind others of a better priority."""
        raised = queue_state.raise_starved(hot, waited_s, MOST_STARVED)
        return len(raised), set(raised)

    def _one_by_one(self, hot: Hot, worker: int, operations: Mapping[str, OperationSpec], refused: psycopg2.Error) -> list[tuple[Claimed, str]]:
        """Give back row by row: one bad row must not keep the others. The bad one fails with a code; the next tick ends the worker."""
        log.error("rescue_refused", worker=worker, reason=str(refused).strip())
        with hot.transaction():
            held = failures.held(hot, worker, MOST_JOBS)
        for job, decision in self._decided([job for job, _ in held], operations):
            try:
                with hot.transaction():
                    failures.write(hot, worker, [(job, decision)])
            except AWAY:
                raise
            except psycopg2.Error as error:
                with hot.transaction():
                    failures.write(hot, worker, [(job, Fail(Failure(Ended.LOST, "rescue_refused", str(error).strip())))])
        return held

    def strays(self, hot: Hot) -> tuple[int, set[str]]:
        """Float what lies below the low water: of the last minute in each tick, of all times once a minute."""
        now = time.monotonic()
        full = now - self._full_look >= FULL_LOOK_S
        floated = queue_state.float_strays(hot, None if full else RECENT_S, MOST_STRAYS)
        if full:
            self._full_look = now
        if floated:
            log.warning("strays_floated", count=len(floated))
        return len(floated), set(floated)

    @property
    def full_look_due(self) -> bool:
        """Whether the next look for strays goes over everything."""
        return time.monotonic() - self._full_look >= FULL_LOOK_S
