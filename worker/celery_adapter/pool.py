"""Celery's pool of processes, with a quicker eye for those that died; its processes end when told to, and look when nobody rings."""

from collections.abc import Callable
from typing import Any, ClassVar

from celery import bootsteps
from celery.concurrency.asynpool import AsynPool, Worker
from celery.concurrency.prefork import TaskPool

# Celery: 5 s. It also looks when a dead process's end of a pipe closes, but that is a moment before the process can be waited
# for: on two cores that look came too early in two of three cases, and a worker of one process stood still for 5 s.
REPLACE_INTERVAL_S = 0.25
IDLE_POLL_S = 0.1  # an idle process asks so often whether it is sent to look


class _Process(Worker):
    idle_callback: ClassVar[Callable[[], None]]

    def _make_child_methods(self, *arguments: Any) -> None:
        super()._make_child_methods(*arguments)  # type: ignore[misc]  # the stubs do not know it
        mine: Any = self
        doorbell, come = mine.wait_for_job, mine.inq._reader.poll  # noqa: SLF001 - the pipe's end that this process reads

        def wait() -> Any:
            while not come(IDLE_POLL_S):
                type(self).idle_callback()
            return doorbell()

        mine.wait_for_job = wait

    def _ensure_messages_consumed(self, completed: int) -> bool:
        # Celery's waits up to 30 s for the parent to have read each answer. A parent that was told to end while a doorbell lay
        # unread in this process's pipe has forgotten it and reads no answer; a doorbell's has nothing in it anyway.
        del completed
        return True


class _Pool(AsynPool):
    Worker = _Process

    def _create_write_handlers(self, hub: Any, **named: Any) -> None:
        # Celery writes a doorbell to a process with the next pass of its event loop, behind its next question to Redis: 0.3 ms later.
        super()._create_write_handlers(hub, **named)  # type: ignore[misc]  # the stubs do not know it
        mine: Any = self
        put, write = mine._quick_put, hub.consolidate_callback  # noqa: SLF001 - who puts a job in line, who writes it to idle processes

        def put_and_write(doorbell: Any) -> None:
            put(doorbell)
            if idle := mine._all_inqueues - mine._busy_workers - mine._active_writes:  # noqa: SLF001 - Celery has no word for it
                write(list(idle))

        mine._quick_put = put_and_write  # noqa: SLF001 - as above

    def _track_child_process(self, proc: Any, hub: Any) -> None:
        # After each reconnect Celery watches all processes anew, also one that has just died and is not watched any more: that
        # has nothing to watch, and would end the worker. It is replaced as any other that has died.
        if getattr(proc, "_sentinel_poll", hub) is not None:
            super()._track_child_process(proc, hub)  # type: ignore[misc]  # the stubs do not know it

    @property
    def timers(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - Celery's form
        return {self.maintain_pool: REPLACE_INTERVAL_S}


class ProcessPool(TaskPool):
    """Celery's prefork pool."""

    Pool = _Pool

    @staticmethod
    def set_idle_callback(work: Callable[[], None]) -> None:
        """Let each process do this again and again while no doorbell has come for it; to be said before they are made."""
        _Process.idle_callback = staticmethod(work)


def supervisor_step(start_supervisor: Callable[[], None]) -> type[bootsteps.StartStopStep]:
    """Return the step of a worker's start that begins its watch: after its processes, before it waits for Redis."""

    class Watching(bootsteps.StartStopStep):
        """It ends with the worker, not by this step."""

        requires = ("celery.worker.components:Pool",)

        def start(self, _worker: Any) -> None:
            """Begin."""
            start_supervisor()

    return Watching
