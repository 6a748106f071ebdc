"""SIGHUP ends a process as SIGTERM does, and a process under nohup ignores it."""

import signal
from collections.abc import Iterator

import pytest

from common.hangup import end_on_hangup


@pytest.fixture
def received() -> Iterator[list[int]]:
    """Record each SIGTERM, and restore both handlers afterwards."""
    numbers = list[int]()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGTERM, lambda number, _frame: numbers.append(number))
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_hangup_is_a_termination(received: list[int]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    end_on_hangup()
    signal.raise_signal(signal.SIGHUP)
    assert received == [signal.SIGTERM]


def test_a_process_that_was_started_to_ignore_hangups_goes_on_to_ignore_them(received: list[int]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_on_hangup()
    signal.raise_signal(signal.SIGHUP)
    assert received == []
