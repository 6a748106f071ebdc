"""Fixtures of the event loop's tests."""

from collections.abc import Iterator

import pytest
from rig.system import until
from unit.worker.execution.support.loop_under_test import LoopUnderTest


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
