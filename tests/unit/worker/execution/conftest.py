"""Fixtures of the event loop's tests."""

import gc
from collections.abc import Iterator

import pytest
from rig.system import until
from unit.worker.execution.support.loop_under_test import LoopUnderTest


@pytest.fixture(autouse=True, scope="module")
def pending_tasks_are_collected() -> Iterator[None]:
    """Collect the tasks that loops have left pending: they report it then.

    Within `ast.parse` of another test that would make Python 3.11 raise SystemError (CPython, issue 106905).
    """
    yield
    gc.collect()


@pytest.fixture
def idle(bare: pytest.MonkeyPatch) -> Iterator[LoopUnderTest]:
    under_test = LoopUnderTest()
    yield under_test
    under_test.loop.stop()
    until("the thread has ended", lambda: not under_test.loop._thread.is_alive())
    under_test.loop._loop.close()


@pytest.fixture
def started(idle: LoopUnderTest) -> LoopUnderTest:
    idle.loop.start()
    return idle
