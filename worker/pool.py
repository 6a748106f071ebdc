"""Celery's pool of processes, with a quicker eye for those that died, and whose processes end when they are told to."""

from celery.concurrency.asynpool import AsynPool, Worker
from celery.concurrency.prefork import TaskPool

# Celery: 5 s. It also looks when a dead process's end of a pipe closes, but that is a moment before the process can be waited
# for: on two cores that look came too early in two of three cases, and a worker of one process stood still for 5 s.
REPLACE_S = 0.25


class _Process(Worker):
    def _ensure_messages_consumed(self, completed: int) -> bool:
        # Celery's waits up to 30 s for the parent to have read each answer. A parent that was told to end while a doorbell lay
        # unread in this process's pipe has forgotten it and reads no answer; a doorbell's has nothing in it anyway.
        del completed
        return True


class _Pool(AsynPool):
    Worker = _Process

    @property
    def timers(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - Celery's form
        return {self.maintain_pool: REPLACE_S}


class Pool(TaskPool):
    """Celery's prefork pool."""

    Pool = _Pool
