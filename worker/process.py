"""The setup and the life of a worker process after its fork: slot, session, executor, hooks of packages."""

import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

from common.broker.change_notifications import ChangeNotifications
from common.broker.doorbells import Doorbell
from common.domain.errors import StartupError
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable
from common.telemetry import logs, traces
from worker.celery_adapter.pool import end_for_replacement, process_index
from worker.execution.async_executor import AsyncExecutor
from worker.execution.executor import Executor
from worker.execution.process_hooks import ProcessHooks
from worker.execution.worker_session import WorkerSession
from worker.job_logs import capture
from worker.job_logs.attempt_log import OperationLogs
from worker.job_logs.line_ring import LineRing
from worker.operations.installed import InstalledOperation
from worker.process_tree.leftovers import Leftovers
from worker.process_tree.processes import die_with
from worker.process_tree.start import detach
from worker.shared_memory.slots import Slot, Slots

log = logs.get("worker")
END_POLL_S = 0.1  # in which a process that is about to end checks for the end of the worker


class WorkerProcess:
    """A process of the pool. The parent creates it, and each child fills its own copy after the fork."""

    def __init__(
        self,
        settings: Settings,
        queues: Sequence[str],
        operations: Mapping[str, InstalledOperation],
        slots: Slots,
        rings: Sequence[LineRing],
    ) -> None:
        """`rings`: one for each process of the pool, for what operations log; empty: nothing is stored."""
        self._settings = settings
        self._queues = queues
        self._operations = operations
        self._async_operations = {name: operation for name, operation in operations.items() if operation.is_async}
        self._slots = slots
        self._rings = rings
        self._parent = os.getpid()
        self._executor: Executor | None = None
        self._slot: Slot | None = None
        self._session: WorkerSession | None = None
        self._hooks: ProcessHooks | None = None
        self._poll_requests_seen = 0  # requests of the parent to poll that this process has served

    def begin(self) -> None:
        """Set up this process, which was forked a moment ago."""
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

    def start(self) -> None:
        """Call the start hooks of packages, with the signals that operations find, then register this process.

        Before its registration it holds no job. If a hook has failed, it ends after a pause.
        """
        slot, session, executor = self._slot, self._session, self._executor
        if slot is None or session is None or executor is None:
            return
        has_loop = bool(self._async_operations)
        self._hooks = ProcessHooks(
            self._settings, (lambda function: executor.async_executor().call(function)) if has_loop else None
        )
        if not self._hooks.start():
            slot.metrics.count_process_death("start_failed")
            self._end_after_pause()
        executor.leftovers = Leftovers(self._settings.child_process_grace_seconds)  # spares what the hooks have started
        slot.mark_claim()
        try:
            session.connection  # noqa: B018 - registers the process before its first job
        except DatabaseUnavailable as error:
            log.warning("database_unavailable", reason=str(error).strip())

    def idle(self) -> None:
        """End leftovers, and serve all queues if the parent has asked this process to poll, as no doorbell rings."""
        slot = self._slot
        if self._executor is None or slot is None:
            return
        self._executor.end_leftovers()
        self._executor.say_unlogged()
        if slot.poll_requests != self._poll_requests_seen:
            self._poll_requests_seen = slot.poll_requests
            for queue in self._queues:
                self.serve(queue)
        for queue in self._slots.retries.take_due():
            self.serve(queue)

    def idle_wait_s(self, most_s: float) -> float:
        """Return for how many seconds this process may wait for a doorbell, at most `most_s`, before `idle` is due."""
        return self._slots.retries.wait_s(most_s)

    def serve(self, queue: str) -> None:
        """Serve a queue, as its doorbell has rung. Raises no Exception: the jobs of a failed claim are released."""
        if self._executor is None or queue not in self._queues:
            return
        try:
            self._executor.serve(queue)
        except Exception:
            log.exception("serving_failed", queue=queue)
            self._executor.recover()

    def stop(self) -> None:
        """Let the async jobs end, and call the stop hooks of packages."""
        if self._executor is not None:
            self._executor.drain()
        if self._hooks is not None:
            self._hooks.stop()
        traces.close()

    def _capture_logs(self, slot: Slot) -> OperationLogs:
        ring = self._rings[process_index()] if self._rings else None
        operation_logs = OperationLogs(self._settings, ring, slot.metrics, sys.stderr.fileno())
        capture.install(self._settings)
        return operation_logs

    def _end_after_pause(self) -> NoReturn:
        """End this process after a pause, or as soon as the worker drains."""
        until = time.monotonic() + self._settings.process_restart_pause_seconds
        while time.monotonic() < until and not self._slots.draining:
            time.sleep(END_POLL_S)
        end_for_replacement()

    def _new_session(self, slot: Slot, operations: Mapping[str, InstalledOperation]) -> WorkerSession:
        session = WorkerSession(
            self._settings,
            slot,
            self._queues,
            sorted(name for operation in operations.values() for name in operation.spec.runnable),
        )
        session.change_notifications = ChangeNotifications(self._settings)
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

    def _take_slot(self, *, is_async: bool = False) -> Slot:
        # A replacement has the index of the process that died, whose slot the parent may not have freed yet: the
        # replacement takes another slot of the same index.
        for slot in self._slots.all[process_index() :: self._slots.processes]:
            if not slot.pid:
                slot.take(is_async=is_async)
                return slot
        raise StartupError("no slot is free: processes die faster than the parent recovers their jobs")
