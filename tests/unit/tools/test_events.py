"""The table of log events is made from the code."""

import ast

import pytest

from common.telemetry.events import EVENTS
from tools import events


def test_a_call_is_found_with_its_level_and_facts() -> None:
    tree = ast.parse('log.warning("gone", worker=1, reason="x")\nlog.exception("broken")\nother.info("not a log")\nlog.info(text)')
    assert list(events.calls(tree)) == [("gone", "warning", {"worker", "reason"}), ("broken", "error", set())]


def test_a_level_that_is_chosen_at_run_time_counts_as_each() -> None:
    tree = ast.parse('say = log.warning if bad else log.info\nsay("buried", pid=1)')
    assert list(events.calls(tree)) == [("buried", "info", {"pid"}), ("buried", "warning", {"pid"})]


def test_every_event_is_declared_and_logged() -> None:
    assert set(events.found()) == set(EVENTS)


def test_one_that_is_not_declared_stops_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(EVENTS, "starting")
    with pytest.raises(ValueError, match="differ in starting"):
        events.reference()
