"""Steps of bulk actions: each action runs at its rate (token bucket), and all take turns, least recently served first.

An action that has had no step yet makes progress soon, however many others are active.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import psycopg2
from prometheus_client import Counter
from psycopg2.errorcodes import DEADLOCK_DETECTED, LOCK_NOT_AVAILABLE, QUERY_CANCELED, SERIALIZATION_FAILURE

from common.broker.change_notifications import ChangeNotifications
from common.domain.bulk_actions import Phase
from common.settings import Settings
from common.store.bulk_actions import steps
from common.store.bulk_actions.steps import Step
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.listing.index_scan import ScanLimits
from common.telemetry import logs

log = logs.get("controller")
MAX_ACTIVE = 1_000  # in one tick: ten times as many as it has time for
MAX_SCANNED = 5_000  # rows in one step, about 50 ms: if few of them match
TICK_SHARE = 0.25  # of a tick, at most: rescue waits meanwhile
EXPIRY_ROUNDS = 10  # calls of the store in one expiry

# Another transaction holds a job's row, or was first: the step is tried again later.
_RETRYABLE = (LOCK_NOT_AVAILABLE, QUERY_CANCELED, DEADLOCK_DETECTED, SERIALIZATION_FAILURE)


@dataclass(slots=True)
class TokenBucket:
    """Rate limit of one bulk action. It is in memory: a new leader starts with the tokens of one tick."""

    tokens: float  #: jobs that the action may process now
    refilled_at_s: float


class BulkActions:
    """The bulk actions that are running or being undone."""

    def __init__(self, settings: Settings, job_counter: Counter, clock: Callable[[], float] = time.monotonic) -> None:
        """`job_counter`: counts jobs by kind of action and result. `clock`: monotonic seconds."""
        self._settings = settings
        self._job_counter = job_counter
        self._clock = clock
        self._change_notifications = ChangeNotifications(settings)
        self._buckets: dict[str, TokenBucket] = {}  # of the active actions, in the order of their turns

    def run_steps(self, connection: WorkerConnection) -> int:
        """Run steps of bulk actions, for at most a share of a tick. Returns the number of jobs that were processed."""
        until, jobs = self._clock() + TICK_SHARE * self._settings.tick_seconds, 0
        self._refill(steps.active(connection, MAX_ACTIVE))
        ready = deque(bulk_action_id for bulk_action_id, bucket in self._buckets.items() if bucket.tokens >= 1)
        while ready and self._clock() < until:
            bulk_action_id = ready.popleft()
            step = self._run_step(connection, bulk_action_id)
            if step is None:
                continue
            jobs += step.jobs
            goes_on = step.after is step.before and not step.has_locked_jobs
            if goes_on and self._buckets[bulk_action_id].tokens >= 1:
                ready.append(bulk_action_id)
        return jobs

    def expire(self, connection: WorkerConnection) -> None:
        """Delete bulk actions past their retention, with the records of their changes."""
        settings = self._settings
        for _ in range(EXPIRY_ROUNDS):
            if not steps.expire(connection, settings.bulk_action_preview_seconds, settings.bulk_action_keep_seconds):
                break

    def _refill(self, active: list[tuple[str, int]]) -> None:
        """Add tokens at each action's rate. Tokens beyond those of two ticks are lost, so there is no burst later."""
        now, tick_s, previous = self._clock(), self._settings.tick_seconds, self._buckets
        self._buckets = {}
        for bulk_action_id, rate in active:
            bucket = previous.get(bulk_action_id) or TokenBucket(0.0, now - tick_s)
            tokens = min(bucket.tokens + rate * (now - bucket.refilled_at_s), max(1.0, 2 * rate * tick_s))
            self._buckets[bulk_action_id] = TokenBucket(tokens, now)

    def _run_step(self, connection: WorkerConnection, bulk_action_id: str) -> Step | None:
        bucket, settings = self._buckets[bulk_action_id], self._settings
        limits = ScanLimits(
            min(int(bucket.tokens), settings.bulk_action_step_jobs), MAX_SCANNED, settings.max_clock_skew_seconds
        )
        try:
            step = steps.run_step(connection, bulk_action_id, limits, settings.lock_timeout_seconds)
        except DatabaseUnavailable as error:
            if error.sqlstate in _RETRYABLE:
                steps.postpone(connection, bulk_action_id)
                return None
            raise
        except psycopg2.Error as error:
            log.exception("bulk_action_failed", bulk_action_id=bulk_action_id)
            steps.fail(connection, bulk_action_id, str(error).strip())
            return None
        if step is not None:
            bucket.tokens -= step.jobs
            self._report(bulk_action_id, step)
        return step

    def _report(self, bulk_action_id: str, step: Step) -> None:
        undoing = step.before is Phase.UNDOING
        for result, count in (("done", len(step.outcome.changed_ids)), ("skipped", len(step.outcome.skip_reasons))):
            if count:
                self._job_counter.labels(step.kind, f"undo_{result}" if undoing else result).inc(count)
        self._change_notifications.publish(step.outcome.changed_ids)
        if step.after is Phase.DONE:
            log.info("bulk_action_done", bulk_action_id=bulk_action_id, kind=step.kind)
        elif step.after is Phase.STOPPED:
            log.info("bulk_action_first_done", bulk_action_id=bulk_action_id, kind=step.kind)
        elif step.after is Phase.UNDONE:
            log.info("bulk_action_undone", bulk_action_id=bulk_action_id, kind=step.kind)
