"""Celery's pool, where jobproc changes it."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.asynpool import AsynPool
from kombu.asynchronous import Hub

from worker.celery_adapter.pool import ProcessPool
from worker.process_tree.exits import ProcessExits


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


def test_celery_learns_of_a_lost_process_as_of_an_answered_doorbell() -> None:
    """Its own way is an error with a traceback, which it logs."""
    answers: list[Any] = []
    pool: Any = ProcessPool.Pool.__new__(ProcessPool.Pool)
    job = SimpleNamespace(_set=lambda _number, answer: answers.append(answer))
    pool.mark_as_worker_lost(job, 155)
    assert answers == [(True, (False, None, 0.0))]


def test_the_exit_code_of_each_process_is_noted_and_celery_logs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them ends while Celery collects the others."""
    pool: Any = ProcessPool.Pool.__new__(ProcessPool.Pool)
    pool.exits = ProcessExits()
    pool.exits.expect(10_000_002)
    running, _crashed, _killed, ends_now = processes = [
        SimpleNamespace(pid=10_000_000 + number, exitcode=code, _controlled_termination=False)
        for number, code in enumerate([None, -11, -9, None])
    ]
    pool._pool = list(processes)

    def collect(pool: Any, shutdown: bool) -> bool:
        ends_now.exitcode = 3
        pool._pool = [running]
        return shutdown

    monkeypatch.setattr(AsynPool, "_join_exited_workers", collect)
    assert pool._join_exited_workers(True) is True
    assert [process._controlled_termination for process in processes] == [True] * 4
    assert [pool.exits.code(process.pid) for process in processes] == [None, -11, None, 3]
