"""Actions: each gets its turns as its rate allows, several one after the other."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg2
import psycopg2.errors
from prometheus_client import Counter

from common.broker.change_feed import Crier
from common.domain.bulk_actions import Phase
from common.settings import Settings
from common.store.bulk_actions import steps
from common.store.bulk_actions.steps import Turn
from common.store.connection.psycopg2_session import AWAY, Hot
from common.store.listing.index_scan import Bounds
from common.telemetry import logs

log = logs.get("controller")
MOST_ACTIVE = 100  # in one tick, the oldest first
MOST_LOOKED_AT = 5_000  # rows in one turn, about 50 ms: where few of them match
SHARE = 0.25  # of a tick, at most: who has to be rescued waits meanwhile
EXPIRY_ROUNDS = 10  # at one look

# Another one holds a job's row, or came before: the same turn is taken later.
_LATER = (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled, psycopg2.errors.DeadlockDetected)


@dataclass(slots=True)
class Allowance:
    """What an action may do. In memory: another leader begins anew, with a tick's worth."""

    jobs: float
    at_s: float  #: when it was last added to
    turn: int = 0  #: the number of its last turn


class Actions:
    """The actions that are under way."""

    def __init__(self, settings: Settings, acted: Counter, clock: Callable[[], float] = time.monotonic) -> None:
        """`acted`: counts jobs by kind of action and result; `clock`: monotonic, in seconds."""
        self._settings = settings
        self._acted = acted
        self._clock = clock
        self._crier = Crier(settings)
        self._allowances: dict[str, Allowance] = {}
        self._turns = 0

    def take_turns(self, hot: Hot) -> tuple[int, set[str]]:
        """Let actions have their turns, at most a share of a tick. Returns how many jobs had theirs."""
        until, jobs = self._clock() + SHARE * self._settings.tick_seconds, 0
        self._allow(steps.active(hot, MOST_ACTIVE))
        ready = {one for one, allowance in self._allowances.items() if allowance.jobs >= 1}
        while ready and self._clock() < until:
            action_id = min(ready, key=lambda one: self._allowances[one].turn)
            turn = self._take(hot, action_id)
            if turn is None or turn.waits or turn.after is not turn.before or self._allowances[action_id].jobs < 1:
                ready.remove(action_id)
            jobs += 0 if turn is None else turn.jobs
        return jobs, set()

    def expire(self, hot: Hot) -> None:
        """Remove actions whose time is over, with what they did."""
        settings = self._settings
        for _ in range(EXPIRY_ROUNDS):
            if not steps.expire(hot, settings.action_preview_seconds, settings.action_keep_seconds):
                break

    def _allow(self, active: list[tuple[str, int]]) -> None:
        """Add to each what its rate is since it was last added to. What was not used for two ticks is lost, so there is no burst later."""
        now, tick_s, before = self._clock(), self._settings.tick_seconds, self._allowances
        self._allowances = {}
        for action_id, rate in active:
            had = before.get(action_id) or Allowance(0.0, now - tick_s)
            jobs = min(had.jobs + rate * (now - had.at_s), max(1.0, 2 * rate * tick_s))
            self._allowances[action_id] = Allowance(jobs, now, had.turn)

    def _take(self, hot: Hot, action_id: str) -> Turn | None:
        allowance, settings = self._allowances[action_id], self._settings
        self._turns += 1
        allowance.turn = self._turns
        bounds = Bounds(min(int(allowance.jobs), settings.action_step_jobs), MOST_LOOKED_AT, settings.max_clock_skew_seconds)
        try:
            turn = steps.take(hot, action_id, bounds, settings.lock_timeout_seconds)
        except _LATER:
            return None
        except AWAY:
            raise
        except psycopg2.Error as refused:
            log.exception("action_failed", action_id=action_id)
            steps.fail(hot, action_id, str(refused).strip())
            return None
        if turn is not None:
            allowance.jobs -= turn.jobs
            self._say(action_id, turn)
        return turn

    def _say(self, action_id: str, turn: Turn) -> None:
        undoing = turn.before is Phase.UNDOING
        for result, count in (("done", len(turn.changed.ids)), ("skipped", len(turn.changed.reasons))):
            if count:
                self._acted.labels(turn.kind, f"undo_{result}" if undoing else result).inc(count)
        self._crier.tell(turn.changed.ids)
        if turn.after is Phase.DONE:
            log.info("action_done", action_id=action_id, kind=turn.kind)
        elif turn.after is Phase.UNDONE:
            log.info("action_undone", action_id=action_id, kind=turn.kind)
