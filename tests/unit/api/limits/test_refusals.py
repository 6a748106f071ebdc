"""Refusals: each is counted; the log has at most one line a second for each reason, and all of them in its counts."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api.limits import refusals
from api.limits.refusals import Refusals


class _Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, int, str]] = []

    def warning(self, event: str, **values: Any) -> None:
        assert event == "clients_refused"
        self.lines.append((values["reason"], values["count"], values["address"]))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> _Log:
    log = _Log()
    monkeypatch.setattr(refusals, "log", log)
    return log


def test_the_log_has_a_line_an_interval_and_the_number_since_the_last(
    log: _Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry()

    async def refuse() -> None:
        timers: list[Any] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda _s, callback: timers.append(callback))
        counted = Refusals(registry)
        for number in range(5):
            counted.count("connections", f"10.0.0.{number}")
        counted.count("open_files")
        assert log.lines == [("connections", 1, "10.0.0.0"), ("open_files", 1, "")]
        while timers:
            timers.pop(0)()
        assert log.lines[2:] == [("connections", 4, "10.0.0.4")]
        counted.count("connections", "10.0.0.9")
        assert log.lines[3:] == [("connections", 1, "10.0.0.9")]

    asyncio.run(refuse())
    assert registry.get_sample_value("jobproc_refusals_total", {"reason": "connections"}) == 6
    assert registry.get_sample_value("jobproc_refusals_total", {"reason": "long_polls"}) == 0
