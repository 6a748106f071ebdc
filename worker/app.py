"""The composition root of a worker: the Celery app, the parent's supervisor, the processes of the pool."""

import gc
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from billiard.util import get_logger
from celery import Celery, signals
from kombu import Queue
from prometheus_client import CollectorRegistry

from common.broker.celery_settings import celery_settings
from common.broker.doorbells import Doorbell, celery_queue
from common.migrations import head
from common.settings import Settings
from common.store.schema.startup import wait_for_schema
from common.telemetry import logs, traces
from common.telemetry.exposition import Exposition
from jobproc import hooks
from worker.celery_adapter import tasks
from worker.celery_adapter.pool import ProcessPool, supervisor_step
from worker.execution.process_hooks import skipped_hooks
from worker.health import Health
from worker.job_logs.line_ring import LineRing
from worker.job_logs.storage import JobLogStorage
from worker.operations.installed import InstalledOperation
from worker.process import WorkerProcess
from worker.process_tree.exits import ProcessExits
from worker.shared_memory.metrics import Layout
from worker.shared_memory.process_gauges import ProcessGauges
from worker.shared_memory.slots import Slots
from worker.supervision.supervisor import Supervisor

log = logs.get("worker")


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
        self._has_async = any(operation.is_async for operation in operations.values())
        max_jobs = max(settings.max_claim_jobs, settings.async_concurrency)
        self._slots = Slots(
            concurrency,
            max_jobs,
            layout,
            traced=traces.enabled(),
            with_async=self._has_async,
            empty_claims_per_second=settings.empty_claims_per_second,
        )
        rings = [LineRing(settings.job_log_buffer_bytes) for _ in range(concurrency if settings.job_log_bytes else 0)]
        self._job_logs = JobLogStorage(settings, rings, self._slots.metrics.parent)
        self._process = WorkerProcess(settings, queues, operations, self._slots, rings)
        exits = ProcessExits()
        self._supervisor = Supervisor(settings, self._slots, operations, Doorbell(settings), queues, exits)
        self._supervisor.job_logs = self._job_logs
        self._celery = self._celery_app()
        ProcessPool.set_start_callback(self._process.start)
        ProcessPool.set_idle_callback(self._process.idle, self._process.idle_wait_s)
        ProcessPool.set_exits(exits)
        for signal_, receiver in (
            (signals.setup_logging, _keep_logging),
            (signals.worker_ready, self._ready),
            (signals.worker_shutting_down, self._shutting_down),
            (signals.worker_process_init, self._begin_process),
            (signals.worker_process_shutdown, self._stop_process),
        ):
            signal_.connect(receiver, weak=False)

    def _celery_app(self) -> Celery:
        app, settings = Celery("jobproc"), self._settings
        names = [celery_queue(queue) for queue in self._queues]
        app.conf.update(celery_settings(settings), task_queues=[Queue(name, routing_key=name) for name in names])
        app.conf.broker_transport = "worker.celery_adapter.transport:Transport"
        app.conf.worker_consumer = "worker.celery_adapter.consumer:Consumer"
        app.steps["worker"].add(supervisor_step(self._start_supervisor))
        if hooks.process_start:  # else Celery kills a process that is not up after 4 s
            app.conf.worker_proc_alive_timeout += (
                settings.process_start_timeout_seconds + settings.process_restart_pause_seconds
            )
        tasks.register(app, self._process.serve)
        return app

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
        if not self._has_async and (skipped := skipped_hooks()):
            log.warning("process_hooks_skipped", hooks=skipped)
        log.info(
            "worker_ready",
            queues=list(self._queues),
            concurrency=self._concurrency,
            operations=sorted(self._operations),
        )

    def _shutting_down(self, **_facts: Any) -> None:
        self._slots.drain()

    def _begin_process(self, **_facts: Any) -> None:
        self._process.begin()

    def _stop_process(self, **_facts: Any) -> None:
        self._process.stop()


def _exit(_signal: int, _frame: object) -> None:
    sys.exit(0)


def _keep_logging(**_facts: Any) -> None:
    # Celery's pool writes past the logs, as bare text, unless its logger is told to pass its records on.
    get_logger().propagate = True
