"""The lag of the event loop, with a loop and a clock of the test."""

import asyncio
from collections.abc import Callable
from typing import cast

from api.telemetry.loop_lag import INTERVAL_S, LoopLag


class Timers:
    """A loop that runs its one timer when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.delay_s = 0.0
        self.callback: Callable[[], None] | None = None

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        assert self.callback is None, "one timer is enough"
        self.delay_s, self.callback = delay_s, callback

    def run_late(self, late_s: float) -> None:
        callback, self.callback = self.callback, None
        assert callback is not None
        self.now_s += self.delay_s + late_s
        callback()


def test_a_timer_that_runs_late_is_observed_and_started_anew() -> None:
    timers, lags = Timers(), list[float]()
    LoopLag(cast("asyncio.AbstractEventLoop", timers), lags.append, lambda: timers.now_s)
    assert timers.delay_s == INTERVAL_S
    for late_s in (0.0, 1.9, -0.001, 0.25):
        timers.run_late(late_s)
    assert [round(lag, 6) for lag in lags] == [0.0, 1.9, 0.0, 0.25]
