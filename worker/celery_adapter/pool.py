"""Celery's process pool: replaces dead processes sooner, ends processes without delay, polls when no doorbell rings."""

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from billiard import current_process
from billiard.pool import EX_OK, EX_RECYCLE
from celery import bootsteps
from celery.concurrency.asynpool import AsynPool, Worker
from celery.concurrency.prefork import TaskPool

from common.telemetry import logs
from worker.process_tree.exits import ProcessExits, described_exit
from worker.process_tree.start import ignore_termination

log = logs.get("worker")
# Celery: 5 s. It also checks when a dead process's end of a pipe closes, but that is a moment before the process can be
# waited for. On two cores that check came too early in two of three cases, and a worker of one process idled for 5 s.
REPLACE_INTERVAL_S = 0.25
IDLE_POLL_S = 0.1  # the interval in which an idle process checks for the parent's request to poll


class _Process(Worker):
    start_callback: ClassVar[Callable[[], None]]
    idle_callback: ClassVar[Callable[[], None]]
    idle_wait: ClassVar[Callable[[float], float]]

    def _make_child_methods(self, *arguments: Any) -> None:
        super()._make_child_methods(*arguments)  # type: ignore[misc]  # the stubs do not know it
        process: Any = self
        wait_for_doorbell = process.wait_for_job
        has_doorbell = process.inq._reader.poll  # noqa: SLF001 - the pipe's end that this process reads

        def wait() -> Any:
            while not has_doorbell(type(self).idle_wait(IDLE_POLL_S)):
                type(self).idle_callback()
            return wait_for_doorbell()

        process.wait_for_job = wait

    def on_loop_start(self, pid: int) -> None:
        # After Celery has set its handlers, before the parent learns that this process is ready.
        ignore_termination()
        type(self).start_callback()
        super().on_loop_start(pid)

    def _ensure_messages_consumed(self, completed: int) -> bool:
        # Celery waits up to 30 s until the parent has read each answer. A parent that was asked to end while a doorbell
        # lay unread in this process's pipe has forgotten it and reads no answer. The answer to a doorbell is empty
        # anyway.
        del completed
        return True


class _Pool(AsynPool):
    Worker = _Process

    exits: ClassVar[ProcessExits]

    def _join_exited_workers(self, shutdown: bool = False) -> Any:
        pool: Any = self
        processes = list(pool._pool)  # noqa: SLF001 - no public name
        for process in processes:  # Celery's pool writes no error: past the logs, and also of those that were killed
            process._controlled_termination = True  # noqa: SLF001 - as above
        joined = super()._join_exited_workers(shutdown)  # type: ignore[misc]  # the stubs do not know it
        for process in processes:  # afterwards: one may end while Celery collects another one that has
            if process.exitcode is not None:
                self._note_exit(process.pid, process.exitcode)
        return joined

    def _note_exit(self, pid: int, code: int) -> None:
        if code not in {EX_OK, EX_RECYCLE} and not self.exits.is_expected(pid):
            log.warning("process_ended", pid=pid, cause=described_exit(code))
        self.exits.add(pid, code)

    def mark_as_worker_lost(self, job: Any, exitcode: int) -> None:
        del exitcode
        # Celery logs the traceback of an error that it raises itself, for a doorbell that its process has not answered.
        # Nobody waits for the answer; the supervisor recovers the jobs of the process and logs how it ended.
        job._set(None, (True, (False, None, 0.0)))  # noqa: SLF001 - no public name

    def _create_write_handlers(self, hub: Any, **named: Any) -> None:
        # Celery writes a doorbell to a process in the next cycle of its event loop, after its next command to Redis:
        # 0.3 ms later. This writes it at once, unless all processes are busy.
        super()._create_write_handlers(hub, **named)  # type: ignore[misc]  # the stubs do not know it
        pool: Any = self
        put = pool._quick_put  # noqa: SLF001 - appends a doorbell to the outbound buffer
        write = hub.consolidate_callback  # writes the buffer to idle processes

        def put_and_write(doorbell: Any) -> None:
            put(doorbell)
            if idle := pool._all_inqueues - pool._busy_workers - pool._active_writes:  # noqa: SLF001 - no public name
                write(list(idle))

        pool._quick_put = put_and_write  # noqa: SLF001 - as above

    def _track_child_process(self, proc: Any, hub: Any) -> None:
        # After each reconnect Celery registers the sentinels of all processes anew. A process that has just died has
        # none any more, which would end the worker. It is replaced like any other dead process.
        if getattr(proc, "_sentinel_poll", hub) is not None:
            super()._track_child_process(proc, hub)  # type: ignore[misc]  # the stubs do not know it

    @property
    def timers(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - Celery's form
        return {self.maintain_pool: REPLACE_INTERVAL_S}


class ProcessPool(TaskPool):
    """Celery's prefork pool with the process and the pool above."""

    Pool = _Pool

    def did_start_ok(self) -> bool:
        """Return True: a process that has ended already, such as for its start hooks, is replaced like any other."""
        return True

    @staticmethod
    def set_start_callback(callback: Callable[[], None]) -> None:
        """Set the function that each process calls before it takes doorbells. To be called before the fork."""
        _Process.start_callback = staticmethod(callback)

    @staticmethod
    def set_idle_callback(callback: Callable[[], None], wait: Callable[[float], float]) -> None:
        """Set the function that each process calls every 0.1 s while it waits for a doorbell. Call before the fork."""
        _Process.idle_callback, _Process.idle_wait = staticmethod(callback), staticmethod(wait)

    @staticmethod
    def set_exits(exits: ProcessExits) -> None:
        """Set where the exit codes of processes go."""
        _Pool.exits = exits


def process_index() -> int:
    """Return the index of this process in the pool. No two living processes share one."""
    return int(current_process().index)  # type: ignore[attr-defined]  # billiard sets it


def end_for_replacement() -> NoReturn:
    """End this process, so that the pool starts another one, and without a line of the pool."""
    raise SystemExit(EX_RECYCLE)


def supervisor_step(start_supervisor: Callable[[], None]) -> type[bootsteps.StartStopStep]:
    """Return Celery's bootstep that starts the supervisor: after the processes are forked, before Redis is awaited."""

    class SupervisorStep(bootsteps.StartStopStep):
        """Starts the supervisor. The end of the worker stops it, not this step."""

        requires = ("celery.worker.components:Pool",)

        def start(self, _worker: Any) -> None:
            """Start it."""
            start_supervisor()

    return SupervisorStep
