"""Actions: each gets its turns as its rate allows, several one after the other."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg2
import psycopg2.errors
from prometheus_client import Counter

from common.broker.change_feed import ChangeFeed
from common.domain.bulk_actions import Phase
from common.settings import Settings
from common.store.bulk_actions import steps
from common.store.bulk_actions.steps import Step
from common.store.connection.psycopg2_session import CONNECTION_ERRORS, WorkerConnection
from common.store.listing.index_scan import ScanLimits
from common.telemetry import logs

log = logs.get("controller")
MAX_ACTIVE = 100  # in one tick, the oldest first
MAX_SCANNED = 5_000  # rows in one turn, about 50 ms: where few of them match
TICK_SHARE = 0.25  # of a tick, at most: who has to be rescued waits meanwhile
EXPIRY_ROUNDS = 10  # at one look

# Another one holds a job's row, or came before: the same turn is taken later.
_RETRYABLE = (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled, psycopg2.errors.DeadlockDetected)


@dataclass(slots=True)
class Allowance:
    """What an action may do. In memory: another leader begins anew, with a tick's worth."""

    jobs: float
    at_s: float  #: when it was last added to
    last_step: int = 0  #: the number of its last turn


class BulkActions:
    """The actions that are under way."""

    def __init__(self, settings: Settings, job_counter: Counter, clock: Callable[[], float] = time.monotonic) -> None:
        """`acted`: counts jobs by kind of action and result; `clock`: monotonic, in seconds."""
        self._settings = settings
        self._job_counter = job_counter
        self._clock = clock
        self._change_feed = ChangeFeed(settings)
        self._allowances: dict[str, Allowance] = {}
        self._steps = 0

    def run_steps(self, connection: WorkerConnection) -> tuple[int, set[str]]:
        """Let actions have their turns, at most a share of a tick. Returns how many jobs had theirs."""
        until, jobs = self._clock() + TICK_SHARE * self._settings.tick_seconds, 0
        self._refill(steps.active(connection, MAX_ACTIVE))
        ready = {one for one, allowance in self._allowances.items() if allowance.jobs >= 1}
        while ready and self._clock() < until:
            action_id = min(ready, key=lambda one: self._allowances[one].last_step)
            turn = self._run_step(connection, action_id)
            if turn is None or turn.has_passed_jobs or turn.after is not turn.before or self._allowances[action_id].jobs < 1:
                ready.remove(action_id)
            jobs += 0 if turn is None else turn.jobs
        return jobs, set()

    def expire(self, connection: WorkerConnection) -> None:
        """Remove actions whose time is over, with what they did."""
        settings = self._settings
        for _ in range(EXPIRY_ROUNDS):
            if not steps.expire(connection, settings.action_preview_seconds, settings.action_keep_seconds):
                break

    def _refill(self, active: list[tuple[str, int]]) -> None:
        """Add to each what its rate is since it was last added to. What was not used for two ticks is lost, so there is no burst later."""
        now, tick_s, before = self._clock(), self._settings.tick_seconds, self._allowances
        self._allowances = {}
        for action_id, rate in active:
            had = before.get(action_id) or Allowance(0.0, now - tick_s)
            jobs = min(had.jobs + rate * (now - had.at_s), max(1.0, 2 * rate * tick_s))
            self._allowances[action_id] = Allowance(jobs, now, had.last_step)

    def _run_step(self, connection: WorkerConnection, action_id: str) -> Step | None:
        allowance, settings = self._allowances[action_id], self._settings
        self._steps += 1
        allowance.last_step = self._steps
        bounds = ScanLimits(min(int(allowance.jobs), settings.action_step_jobs), MAX_SCANNED, settings.max_clock_skew_seconds)
        try:
            turn = steps.run_step(connection, action_id, bounds, settings.lock_timeout_seconds)
        except _RETRYABLE:
            return None
        except CONNECTION_ERRORS:
            raise
        except psycopg2.Error as refused:
            log.exception("action_failed", action_id=action_id)
            steps.fail(connection, action_id, str(refused).strip())
            return None
        if turn is not None:
            allowance.jobs -= turn.jobs
            self._report(action_id, turn)
        return turn

    def _report(self, action_id: str, turn: Step) -> None:
        undoing = turn.before is Phase.UNDOING
        for result, count in (("done", len(turn.changed.changed_ids)), ("skipped", len(turn.changed.skip_reasons))):
            if count:
                self._job_counter.labels(turn.kind, f"undo_{result}" if undoing else result).inc(count)
        self._change_feed.publish(turn.changed.changed_ids)
        if turn.after is Phase.DONE:
            log.info("action_done", action_id=action_id, kind=turn.kind)
        elif turn.after is Phase.UNDONE:
            log.info("action_undone", action_id=action_id, kind=turn.kind)
