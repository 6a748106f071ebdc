"""Celery's wiring: the app, the parent's watch, what happens in each process after the fork."""

import ctypes
import gc
import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from billiard import current_process
from celery import Celery, signals
from kombu import Queue
from prometheus_client import CollectorRegistry

from common.broker.celery_settings import celery_settings
from common.broker.change_feed import Crier
from common.broker.doorbells import Bell, celery_queue
from common.domain.errors import StartupError
from common.settings import Settings
from common.store.connection.psycopg2_session import AWAY, Hot
from common.store.operations import catalogue
from common.telemetry import logs, traces
from common.telemetry.exposition import Exposition
from worker.celery_adapter import tasks
from worker.celery_adapter.pool import Pool, watching
from worker.execution.async_executor import Together
from worker.execution.executor import Executor
from worker.execution.worker_session import Holder
from worker.operations.registry import Operation
from worker.shared_memory.metrics import Layout
from worker.shared_memory.process_gauges import Processes
from worker.shared_memory.slots import Seat, Seats
from worker.supervision.supervisor import Watch

log = logs.get("worker")
PR_SET_PDEATHSIG = 1


class WorkerApp:
    """One worker: a parent that consumes doorbells and watches, and its processes that run jobs."""

    def __init__(self, settings: Settings, queues: Sequence[str], concurrency: int, operations: Mapping[str, Operation]) -> None:
        self._settings = settings
        self._queues = queues
        self._concurrency = concurrency
        self._operations = operations
        layout = Layout([one.spec for one in operations.values()], queues)
        self._asynchronous = {name: one for name, one in operations.items() if one.is_async}
        room = max(settings.max_claim_jobs, settings.async_jobs)
        self._seats = Seats(concurrency, room, layout, traced=traces.wanted(), together=bool(self._asynchronous))
        self._watch = Watch(settings, self._seats, operations, Bell(settings), queues, self._publish)
        self._executor: Executor | None = None
        self._seat: Seat | None = None  # of this process
        self._sent = 0  # how often it has been sent to look
        self._parent = os.getpid()
        self._celery = Celery("jobproc")
        self._celery.conf.update(celery_settings(settings), task_queues=[Queue(celery_queue(q), routing_key=celery_queue(q)) for q in queues])
        self._celery.conf.broker_transport = "worker.celery_adapter.transport:Transport"
        self._celery.conf.worker_consumer = "worker.celery_adapter.consumer:Consumer"
        self._celery.steps["worker"].add(watching(self._watch_begins))
        Pool.while_idle(self._look)
        tasks.register(self._celery, self._serve)
        for signal_, receiver in (
            (signals.setup_logging, _keep_logging),
            (signals.worker_ready, self._ready),
            (signals.worker_shutting_down, self._shutting_down),
            (signals.worker_process_init, self._forked),
            (signals.worker_process_shutdown, self._leaving),
        ):
            signal_.connect(receiver, weak=False)

    def run(self) -> int:
        """Work until a signal ends it; returns the exit code."""
        worker = self._celery.Worker(
            hostname=f"jobproc-{os.getpid()}@%h",
            pool="worker.celery_adapter.pool:Pool",
            concurrency=self._concurrency,
            optimization="fair",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel="WARNING",
            quiet=True,
        )
        registry = CollectorRegistry()
        for collector in (self._seats.meters, Processes(self._seats)):
            registry.register(collector)
        self._exposition = Exposition(self._settings.metrics_port, registry)
        if traces.wanted():  # a process that is forked while another thread imports waits for ever for what that one had locked
            from worker.tracing import spans  # noqa: F401 - imported by the processes

            traces.load()
        gc.collect()
        gc.freeze()  # the processes share these pages for longer: a collection in one of them does not write to them
        try:
            worker.start()
        finally:
            self._watch.stop()
            traces.close()
        return int(worker.exitcode or 0)

    def _watch_begins(self) -> None:
        if traces.wanted():  # by the thread that forks, and before the watch has something to record
            from worker.tracing import spans

            spans.configure(of_user_code=False)
        self._watch.start()
        self._exposition.start()

    def _ready(self, **_facts: Any) -> None:
        log.info("worker_ready", queues=list(self._queues), concurrency=self._concurrency, operations=sorted(self._operations))

    def _publish(self, hot: Hot) -> None:
        """Write down what this worker can do."""
        catalogue.publish(hot, [one.spec for one in self._operations.values()])

    def _shutting_down(self, **_facts: Any) -> None:
        self._seats.drain()

    def _forked(self, **_facts: Any) -> None:
        _die_with(self._parent)
        # Who signals a whole group means the parent, which drains: without this the running job would see SystemExit.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        random.seed()
        seat = self._seat = self._take_seat()
        self._sent = seat.sent
        holder = self._holder(seat, self._operations)
        self._executor = Executor(self._settings, holder, self._seats, seat, self._operations, Bell(self._settings))
        if self._asynchronous:
            self._executor.make_together = self._make_together
        if traces.wanted():  # after the fork, which no thread of an exporter survives
            from worker.tracing import spans

            self._executor.spans = spans.configure(of_user_code=True)
        try:
            holder.hot  # noqa: B018 - registers, so that the process is seen before its first job
        except AWAY as error:
            log.warning("database_away", reason=str(error).strip())

    def _holder(self, seat: Seat, operations: Mapping[str, Operation]) -> Holder:
        holder = Holder(self._settings, seat, self._queues, sorted(name for one in operations.values() for name in one.spec.knows))
        holder.crier = Crier(self._settings)
        return holder

    def _make_together(self) -> Together:
        seat = self._take_seat(together=True)
        together = Together(self._settings, self._holder(seat, self._asynchronous), self._seats, seat, self._asynchronous, Bell(self._settings))
        if traces.tracer is not None:
            from worker.tracing import spans

            together.spans = spans.Spans()
        return together

    def _leaving(self, **_facts: Any) -> None:
        if self._executor is not None:
            self._executor.leave()
        traces.close()

    def _take_seat(self, *, together: bool = False) -> Seat:
        # A replacement has the index of the process that died, whose seat the parent may not have cleared yet: it takes
        # another one of the same index. No two living processes share an index.
        for seat in self._seats.all[current_process().index :: self._concurrency]:  # type: ignore[attr-defined]  # billiard sets it
            if not seat.pid:
                seat.sit(together=together)
                return seat
        raise StartupError("no seat is free: processes die faster than they are buried")

    def _look(self) -> None:
        """Serve all queues if the parent has sent this process: nobody rings."""
        if self._executor is not None and self._seat is not None and self._seat.sent != self._sent:
            self._sent = self._seat.sent
            for queue in self._queues:
                self._serve(queue)

    def _serve(self, queue: str) -> None:
        if self._executor is None or queue not in self._queues:
            return
        try:
            self._executor.serve(queue)
        except Exception:
            log.exception("serving_failed", queue=queue)
            self._executor.recover()


def _keep_logging(**_facts: Any) -> None:
    pass


def _die_with(parent: int) -> None:
    """Make the kernel end this process when its parent ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
