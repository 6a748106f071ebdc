"""Celery's pool, where jobproc changes it."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.asynpool import AsynPool
from kombu.asynchronous import Hub

from worker.celery_adapter.pool import ProcessPool


def test_a_process_that_has_died_before_the_worker_reconnects_does_not_end_the_worker() -> None:
    """Its sentinel is gone: Celery's own method would raise, and the worker would end."""
    dead, hub = SimpleNamespace(_sentinel_poll=None), Hub()
    pool = ProcessPool.Pool.__new__(ProcessPool.Pool)
    with pytest.raises(ValueError, match="descriptor"):
        AsynPool._track_child_process(pool, dead, hub)  # type: ignore[attr-defined]  # the stubs do not know it
    pool._track_child_process(dead, hub)
    assert not hub.readers
    hub.close()


@pytest.mark.parametrize(("busy", "written"), [(set(), [7, 8]), ({7}, [8]), ({7, 8}, [])])
def test_a_doorbell_is_written_at_once_to_idle_processes(
    monkeypatch: pytest.MonkeyPatch, busy: set[int], written: list[int]
) -> None:
    """Celery would write it in the next cycle of its event loop, as it still does when all processes are busy."""
    buffered: list[str] = []
    writes: list[list[int]] = []

    def handlers(pool: Any, hub: Any) -> None:
        pool._quick_put, hub.consolidate_callback = buffered.append, writes.append

    monkeypatch.setattr(AsynPool, "_create_write_handlers", handlers)
    pool: Any = ProcessPool.Pool.__new__(ProcessPool.Pool)
    pool._all_inqueues, pool._busy_workers, pool._active_writes = {7, 8, 9}, busy, {9}
    pool._create_write_handlers(SimpleNamespace())
    pool._quick_put("a doorbell")
    assert buffered == ["a doorbell"]
    assert [sorted(fds) for fds in writes] == ([written] if written else [])
