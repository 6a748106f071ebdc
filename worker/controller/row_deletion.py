"""Finished jobs that go one by one, and inputs that go before their jobs: so many a second, a part of each tick."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from common.settings import Settings
from common.store.connection.psycopg2_session import Hot
from common.store.retention import by_row, per_job
from common.store.retention.by_partition import Cuts
from common.store.retention.by_row import Step
from common.store.schema.partitions import Period
from common.telemetry import logs

log = logs.get("controller")
MOST_JOBS = 500  # removed in one transaction: about 20 ms
LOOKED_AT = 10  # jobs looked at for the cost of one that is removed
REPEAT_S = 21_600.0  # between two walks through a period: nearly all in it ended on its day, and go in the first
SHARE = 0.25  # of a tick, at most: who has to be rescued waits meanwhile

Walk = Callable[[Hot, Period, UUID, int], Step]


@dataclass(slots=True)
class Pass:
    """How far a walk through a period is. In memory: another leader begins anew, and finds what is left."""

    at: UUID
    moved: int = 0
    ended: float | None = None  #: by the monotonic clock


class Walks:
    """Walks through periods, one after the other, each again from time to time."""

    def __init__(self, walk: Walk, say: Callable[[Period, int], None]) -> None:
        """`say`: told of how many jobs a walk has moved, at its end."""
        self._walk = walk
        self._say = say
        self._passes: dict[Period, Pass] = {}

    def over(self, periods: list[Period]) -> None:
        """Say which periods there are to walk through."""
        self._passes = {period: self._passes.get(period) or Pass(by_row.begin(period)) for period in periods}

    def step(self, hot: Hot, most: int) -> Step | None:
        """Look at the next jobs, at most so many. None: there is nothing to do now."""
        now = time.monotonic()
        for period, one in self._passes.items():
            if one.ended is not None and now - one.ended >= REPEAT_S:
                self._passes[period] = one = Pass(by_row.begin(period))  # noqa: PLW2901 - begun anew
            if one.ended is None:
                return self._go_on(hot, period, one, most)
        return None

    def _go_on(self, hot: Hot, period: Period, one: Pass, most: int) -> Step:
        step = self._walk(hot, period, one.at, most)
        one.at, one.moved = step.at, one.moved + step.moved
        if step.last:
            one.ended = time.monotonic()
            if one.moved:
                self._say(period, one.moved)
        return step


def _say_jobs(period: Period, count: int) -> None:
    log.info("jobs_removed", period=period.suffix, count=count)


def _say_inputs(period: Period, count: int) -> None:
    log.info("inputs_removed", period=period.suffix, count=count)


class Removal:
    """What is removed one by one."""

    def __init__(self, settings: Settings) -> None:
        self._a_tick = max(1, round(settings.removal_jobs_per_second * settings.tick_seconds))
        self._share_s = settings.tick_seconds * SHARE
        self._left = 0
        self._until = 0.0
        self._cuts = Cuts(0, 0, 0)
        self._input_cut_ms = 0
        self._jobs = Walks(lambda hot, period, at, most: by_row.remove_past(hot, period, at, most, self._cuts), _say_jobs)
        self._inputs = Walks(lambda hot, period, at, most: by_row.strip_inputs(hot, period, at, most, self._input_cut_ms), _say_inputs)

    def begin_tick(self) -> None:
        """Let so many be removed as belong to a tick."""
        self._left, self._until = self._a_tick, time.monotonic() + self._share_s

    def look_at(self, cuts: Cuts, crowded: list[Period], input_cut_ms: int, with_inputs: list[Period]) -> None:
        """Say what is past; `crowded`: periods that cannot go as a whole, `with_inputs`: those whose inputs may go."""
        self._cuts, self._input_cut_ms = cuts, input_cut_ms
        self._jobs.over(crowded)
        self._inputs.over(with_inputs)

    def expired(self, hot: Hot) -> tuple[int, set[str]]:
        """Remove jobs that were kept for a time of their own. Returns how many."""
        moved = 0
        while (most := self._most()) > 0:
            looked, removed = per_job.expire(hot, most)
            moved, self._left = moved + removed, self._left - looked
            if looked < most:
                break
        return moved, set()

    def past(self, hot: Hot) -> tuple[int, set[str]]:
        """Remove jobs past retention from periods that cannot go as a whole. Returns how many."""
        return self._walked(partial(self._jobs.step, hot))

    def inputs(self, hot: Hot) -> tuple[int, set[str]]:
        """Remove inputs of finished jobs. Returns of how many."""
        return self._walked(partial(self._inputs.step, hot))

    def _walked(self, walk: Callable[[int], Step | None]) -> tuple[int, set[str]]:
        moved = 0
        while (most := self._most()) > 0 and (step := walk(most)) is not None:
            moved, self._left = moved + step.moved, self._left - step.moved - step.looked // LOOKED_AT - 1
        return moved, set()

    def _most(self) -> int:
        return min(self._left, MOST_JOBS) if time.monotonic() < self._until else 0
