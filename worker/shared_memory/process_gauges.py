"""Gauges of a worker's processes, read from their slots at each scrape."""

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client.registry import Collector

from common.telemetry import metrics
from common.telemetry.metric_families import gauges
from worker.shared_memory.slots import Slots


class ProcessGauges(Collector):
    """Busy and idle processes of this worker, and the time of their last claim."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def collect(self) -> Iterator[Any]:
        """Yield the gauges. Without processes there is no time of a claim."""
        taken = self._slots.process_slots
        busy = len({slot.pid for slot in self._slots.all if slot.running is not None})
        yield gauges(metrics.WORKER_PROCESSES, [(["busy"], busy), (["idle"], len(taken) - busy)])
        if taken:
            ago_s = time.monotonic() - max(slot.last_claim_s for slot in taken)
            yield gauges(metrics.LAST_CLAIM, [([], time.time() - ago_s)])
