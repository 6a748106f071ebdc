"""The composition root of a worker: the Celery app, the parent's supervisor, each process's setup after its fork."""

import gc
import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from billiard import current_process
from billiard.util import get_logger
from celery import Celery, signals
from kombu import Queue
from prometheus_client import CollectorRegistry

from common.broker.celery_settings import celery_settings
from common.broker.change_feed import ChangeFeed
from common.broker.doorbells import Doorbell, celery_queue
from common.domain.errors import StartupError
from common.migrations import head
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable
from common.store.schema.startup import wait_for_schema
from common.telemetry import logs, traces
from common.telemetry.exposition import Exposition
from jobproc import hooks
from worker.celery_adapter import tasks
from worker.celery_adapter.pool import ProcessPool, end_after_pause, supervisor_step
from worker.execution.async_executor import AsyncExecutor
from worker.execution.executor import Executor
from worker.execution.process_hooks import ProcessHooks, skipped_hooks
from worker.execution.worker_session import WorkerSession
from worker.health import Health
from worker.job_logs import capture
from worker.job_logs.attempt_log import OperationLogs
from worker.job_logs.line_ring import LineRing
from worker.job_logs.storage import JobLogStorage
from worker.operations.installed import InstalledOperation
from worker.process_tree.exits import ProcessExits
from worker.process_tree.leftovers import Leftovers
from worker.process_tree.processes import die_with
from worker.process_tree.start import detach
from worker.shared_memory.metrics import Layout
from worker.shared_memory.process_gauges import ProcessGauges
from worker.shared_memory.slots import Slot, Slots
from worker.supervision.supervisor import Supervisor

log = logs.get("worker")
UP_S = 4.0  # time that Celery gives a process from its fork until it takes doorbells; then it kills the process


class WorkerApp:
    """A worker: a parent that consumes doorbells and supervises, and its processes that run jobs."""

    def __init__(
        self, settings: Settings, queues: Sequence[str], concurrency: int, operations: Mapping[str, InstalledOperation]
    ) -> None:
        self._settings = settings
        self._queues = queues
        self._concurrency = concurrency
        self._operations = operations
        layout = Layout([operation.spec for operation in operations.values()], queues)
        self._async_operations = {name: operation for name, operation in operations.items() if operation.is_async}
        max_jobs = max(settings.max_claim_jobs, settings.async_concurrency)
        self._slots = Slots(
            concurrency,
            max_jobs,
            layout,
            traced=traces.enabled(),
            with_async=bool(self._async_operations),
            empty_claims_per_second=settings.empty_claims_per_second,
        )
        self._rings = [
            LineRing(settings.job_log_buffer_bytes) for _ in range(concurrency if settings.job_log_bytes else 0)
        ]
        self._job_logs = JobLogStorage(settings, self._rings, self._slots.metrics.parent)
        exits = ProcessExits()
        self._supervisor = Supervisor(settings, self._slots, operations, Doorbell(settings), queues, exits)
        self._supervisor.job_logs = self._job_logs
        # Of this process, once it is forked.
        self._executor: Executor | None = None
        self._slot: Slot | None = None
        self._session: WorkerSession | None = None
        self._hooks: ProcessHooks | None = None
        self._poll_requests_seen = 0  # requests of the parent to poll that this process has served
        self._parent = os.getpid()
        self._celery = Celery("jobproc")
        names = [celery_queue(queue) for queue in queues]
        hooks_s = settings.process_start_timeout_seconds + settings.process_restart_pause_seconds
        self._celery.conf.update(
            celery_settings(settings),
            task_queues=[Queue(name, routing_key=name) for name in names],
            worker_proc_alive_timeout=UP_S + hooks_s if hooks.process_start else UP_S,
        )
        self._celery.conf.broker_transport = "worker.celery_adapter.transport:Transport"
        self._celery.conf.worker_consumer = "worker.celery_adapter.consumer:Consumer"
        self._celery.steps["worker"].add(supervisor_step(self._start_supervisor))
        ProcessPool.set_callbacks(self._start_process, self._idle)
        ProcessPool.set_exits(exits)
        tasks.register(self._celery, self._serve)
        for signal_, receiver in (
            (signals.setup_logging, _keep_logging),
            (signals.worker_ready, self._ready),
            (signals.worker_shutting_down, self._shutting_down),
            (signals.worker_process_init, self._forked),
            (signals.worker_process_shutdown, self._process_shutdown),
        ):
            signal_.connect(receiver, weak=False)

    def run(self) -> int:
        """Run the worker until a signal ends it; returns the exit code. Raises StartupError if it cannot start."""
        self._wait_for_schema()
        worker: Any = self._celery.Worker(
            hostname=f"jobproc-{os.getpid()}@%h",
            pool="worker.celery_adapter.pool:ProcessPool",
            concurrency=self._concurrency,
            optimization="fair",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel="WARNING",
            quiet=True,
        )
        worker._isatty = True  # noqa: SLF001 - else Celery handles SIGHUP, by a restart with another sys.path
        registry = CollectorRegistry()
        for collector in (self._slots.metrics, ProcessGauges(self._slots)):
            registry.register(collector)
        self._exposition = Exposition(self._settings, registry)
        if traces.enabled():
            # Imported before any fork: a process that is forked while another thread imports would wait forever for the
            # import lock which that thread held.
            from worker.tracing import spans  # noqa: F401 - the processes use it

            traces.load()
        gc.collect()
        gc.freeze()  # a collection in a process does not write to these pages, so they stay shared for longer
        try:
            worker.start()
        finally:
            self._supervisor.stop()
            self._job_logs.stop()
            traces.close()
        return int(worker.exitcode or 0)

    def _wait_for_schema(self) -> None:
        """Wait until the database has what the processes need, which then start without an error."""
        health = Health(self._settings.health_file, self._settings.stalled_consumer_seconds, self._queues)

        def pause(seconds: float) -> None:
            health.write(time.monotonic(), stalled=False, ready=False)
            time.sleep(seconds)

        # As the first process of a container it would otherwise ignore the signals that Celery handles later.
        before = {number: signal.signal(number, _exit) for number in (signal.SIGTERM, signal.SIGINT)}
        wait_for_schema(self._settings, head(), pause=pause)
        for number, handler in before.items():
            signal.signal(number, handler)

    def _start_supervisor(self) -> None:
        if traces.enabled():  # in the thread that forks, before the supervisor has anything to record
            from worker.tracing import spans

            spans.configure(export_user_spans=False)
        self._supervisor.start()
        self._exposition.start()

    def _ready(self, **_facts: Any) -> None:
        if not self._async_operations and (skipped := skipped_hooks()):
            log.warning("process_hooks_skipped", hooks=skipped)
        log.info(
            "worker_ready",
            queues=list(self._queues),
            concurrency=self._concurrency,
            operations=sorted(self._operations),
        )

    def _shutting_down(self, **_facts: Any) -> None:
        self._slots.drain()

    def _forked(self, **_facts: Any) -> None:
        die_with(self._parent)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # until Celery has set its handlers, and the pool replaces them
        random.seed()
        slot = self._slot = self._take_slot()
        detach()  # with its slot: the supervisor takes other children with their own group for orphans
        self._poll_requests_seen = slot.poll_requests
        session = self._session = self._new_session(slot, self._operations)
        self._executor = Executor(
            self._settings, session, self._slots, slot, self._operations, Doorbell(self._settings)
        )
        self._executor.operation_logs = self._capture_logs(slot)
        if self._async_operations:
            self._executor.make_async_executor = self._make_async_executor
        if traces.enabled():  # after the fork: no thread of an exporter survives it
            from worker.tracing import spans

            self._executor.trace(spans.configure(export_user_spans=True))

    def _start_process(self) -> None:
        """Call the start hooks of packages, with the signals that operations find, then register this process.

        Before its registration it holds no job. If a hook has failed, it ends after a pause.
        """
        slot, session, executor = self._slot, self._session, self._executor
        if slot is None or session is None or executor is None:
            return
        self._hooks = ProcessHooks(self._settings, executor.call_async if self._async_operations else None)
        if not self._hooks.start():
            slot.metrics.count_process_death("start_failed")
            end_after_pause(self._settings.process_restart_pause_seconds, lambda: self._slots.draining)
        executor.leftovers = Leftovers(self._settings.child_process_grace_seconds)  # spares what the hooks have started
        slot.mark_claim()
        try:
            session.connection  # noqa: B018 - registers the process before its first job
        except DatabaseUnavailable as error:
            log.warning("database_unavailable", reason=str(error).strip())

    def _capture_logs(self, slot: Slot) -> OperationLogs:
        index = current_process().index  # type: ignore[attr-defined]  # billiard sets it
        ring = self._rings[index] if self._rings else None  # no two living processes share an index
        operation_logs = OperationLogs(self._settings, ring, slot.metrics, sys.stderr.fileno())
        capture.install(self._settings)
        return operation_logs

    def _new_session(self, slot: Slot, operations: Mapping[str, InstalledOperation]) -> WorkerSession:
        session = WorkerSession(
            self._settings,
            slot,
            self._queues,
            sorted(name for operation in operations.values() for name in operation.spec.runnable),
        )
        session.change_feed = ChangeFeed(self._settings)
        return session

    def _make_async_executor(self) -> AsyncExecutor:
        slot = self._take_slot(is_async=True)
        session = self._new_session(slot, self._async_operations)
        executor = AsyncExecutor(
            self._settings, session, self._slots, slot, self._async_operations, Doorbell(self._settings)
        )
        executor.capture(self._executor.operation_logs if self._executor is not None else None)
        if traces.tracer is not None:
            from worker.tracing import spans

            executor.trace(spans.Spans())
        return executor

    def _process_shutdown(self, **_facts: Any) -> None:
        if self._executor is not None:
            self._executor.drain()
        if self._hooks is not None:
            self._hooks.stop()
        traces.close()

    def _take_slot(self, *, is_async: bool = False) -> Slot:
        # A replacement has the index of the process that died, whose slot the parent may not have freed yet: the
        # replacement takes another slot of the same index. No two living processes share an index.
        index = current_process().index  # type: ignore[attr-defined]  # billiard sets it
        for slot in self._slots.all[index :: self._concurrency]:
            if not slot.pid:
                slot.take(is_async=is_async)
                return slot
        raise StartupError("no slot is free: processes die faster than the parent recovers their jobs")

    def _idle(self) -> None:
        """End leftovers, and serve all queues if the parent has asked this process to poll, as no doorbell rings."""
        slot = self._slot
        if self._executor is None or slot is None:
            return
        self._executor.end_leftovers()
        self._executor.say_unlogged()
        if slot.poll_requests != self._poll_requests_seen:
            self._poll_requests_seen = slot.poll_requests
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


def _exit(_signal: int, _frame: object) -> None:
    sys.exit(0)


def _keep_logging(**_facts: Any) -> None:
    # Celery's pool writes past the logs, as bare text, unless its logger is told to pass its records on.
    get_logger().propagate = True
