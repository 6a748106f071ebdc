"""What the processes of a worker do now, read at scrape from their seats."""

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client.registry import Collector

from common.telemetry import metrics
from worker.shared_memory.slots import Seats


class Processes(Collector):
    """What the processes of this worker do now."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats

    def collect(self) -> Iterator[Any]:
        """Read the seats."""
        taken = self._seats.of_processes
        busy = len({seat.pid for seat in self._seats.all if seat.running is not None})
        yield metrics.gauges(metrics.PROCESSES, [(["busy"], busy), (["idle"], len(taken) - busy)])
        if taken:
            ago_s = time.monotonic() - max(seat.looked_s for seat in taken)
            yield metrics.gauges(metrics.LAST_LOOK, [([], time.time() - ago_s)])
