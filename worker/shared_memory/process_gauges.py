"""What the processes of a worker do now, read at scrape from their seats."""

import time
from collections.abc import Iterator
from typing import Any

from prometheus_client.registry import Collector

from common.telemetry import metrics
from worker.shared_memory.slots import Slots


class ProcessGauges(Collector):
    """What the processes of this worker do now."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def collect(self) -> Iterator[Any]:
        """Read the seats."""
        taken = self._slots.process_slots
        busy = len({slot.pid for slot in self._slots.all if slot.running is not None})
        yield metrics.gauges(metrics.WORKER_PROCESSES, [(["busy"], busy), (["idle"], len(taken) - busy)])
        if taken:
            ago_s = time.monotonic() - max(slot.last_claim_s for slot in taken)
            yield metrics.gauges(metrics.LAST_CLAIM, [([], time.time() - ago_s)])
