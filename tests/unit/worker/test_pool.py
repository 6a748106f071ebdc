"""Celery's pool, where jobproc mends it."""

from types import SimpleNamespace

import pytest
from celery.concurrency.asynpool import AsynPool
from kombu.asynchronous import Hub

from worker.pool import Pool


def test_a_process_that_has_died_as_the_worker_reconnects_does_not_end_it() -> None:
    """It is not watched any more, and is not to be watched again: Celery's own would raise, and the worker end."""
    dead, hub = SimpleNamespace(_sentinel_poll=None), Hub()
    pool = Pool.Pool.__new__(Pool.Pool)
    with pytest.raises(ValueError, match="descriptor"):
        AsynPool._track_child_process(pool, dead, hub)  # type: ignore[attr-defined]  # the stubs do not know it
    pool._track_child_process(dead, hub)
    assert not hub.readers
    hub.close()
