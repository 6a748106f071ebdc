"""The table of log events is generated from the code."""

import ast
import gc
from collections.abc import Iterator

import pytest

from common.telemetry.events import EVENTS
from tools import events


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Keep the garbage collector still: CPython 3.11 may fail to parse while its callbacks run (gh-106905)."""
    gc.disable()
    yield
    gc.enable()


def test_a_log_call_is_found_with_its_level_and_facts() -> None:
    tree = ast.parse(
        'log.warning("gone", worker=1, reason="x")\nlog.exception("broken")\nother.info("not a log")\nlog.info(text)'
    )
    assert list(events.log_calls(tree)) == [("gone", "warning", {"worker", "reason"}), ("broken", "error", set())]


def test_a_log_call_whose_level_is_chosen_at_run_time_counts_for_each_level() -> None:
    tree = ast.parse('say = log.warning if bad else log.info\nsay("recovered", pid=1)')
    assert list(events.log_calls(tree)) == [("recovered", "info", {"pid"}), ("recovered", "warning", {"pid"})]


def test_every_event_is_declared_and_logged() -> None:
    assert set(events.logged_events()) == set(EVENTS)


def test_an_event_that_is_not_declared_stops_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(EVENTS, "starting")
    with pytest.raises(ValueError, match="differ in starting"):
        events.reference()
