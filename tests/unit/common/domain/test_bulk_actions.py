"""Phases of bulk actions: every pair of a phase and a verb, and the progress."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from common.domain.bulk_actions import (
    FINAL_PHASES,
    STATES_CHANGED_BY,
    TRANSITIONS,
    ActionKind,
    ActionRequest,
    Phase,
    SkipReason,
    add_reasons,
    check_confirmation,
    is_on_all_jobs,
    next_phase,
    progress,
)
from common.domain.errors import CountNotConfirmed, WrongPhase
from common.domain.job_search import JobSearch
from common.domain.states import TERMINAL, State, Transition, next_state

POSSIBLE = {
    ActionRequest.START: {Phase.PREVIEW: Phase.RUNNING, Phase.STOPPED: Phase.RUNNING, Phase.RUNNING: Phase.RUNNING},
    ActionRequest.STOP: {Phase.RUNNING: Phase.STOPPED, Phase.UNDOING: Phase.STOPPED, Phase.STOPPED: Phase.STOPPED},
    ActionRequest.UNDO: {
        Phase.STOPPED: Phase.UNDOING,
        Phase.DONE: Phase.UNDOING,
        Phase.UNDOING: Phase.UNDOING,
        Phase.UNDONE: Phase.UNDONE,
    },
}


@pytest.mark.parametrize("verb", ActionRequest)
@pytest.mark.parametrize("phase", Phase)
def test_a_verb_leads_to_one_phase_or_is_refused_with_the_phases_that_allow_it(
    phase: Phase, verb: ActionRequest
) -> None:
    if (after := POSSIBLE[verb].get(phase)) is not None:
        assert next_phase(phase, verb) is after
        assert next_phase(after, verb) is after, "safe to repeat"
        return
    with pytest.raises(WrongPhase) as caught:
        next_phase(phase, verb)
    assert caught.value.phase == phase
    assert str(caught.value).startswith(f"The action is {phase}; {verb} is possible while it is ")
    assert all(before in str(caught.value) for before in POSSIBLE[verb])


def test_every_active_phase_has_a_final_phase() -> None:
    assert {after for after in TRANSITIONS.values() if after in {Phase.RUNNING, Phase.UNDOING}} == set(FINAL_PHASES)


def test_each_kind_acts_on_the_states_whose_jobs_it_can_change() -> None:
    transitions = {ActionKind.CANCEL: Transition.CANCEL, ActionKind.RETRY: Transition.MANUAL_RETRY}
    for kind, transition in transitions.items():
        for state in State:
            if state in STATES_CHANGED_BY[kind]:
                assert next_state(state, transition)
            else:
                with pytest.raises(ValueError, match="cannot"):
                    next_state(state, transition)
    assert STATES_CHANGED_BY[ActionKind.REPRIORITISE] == set(State) - TERMINAL - {State.IN_PROGRESS}


@pytest.mark.parametrize("kind", ActionKind)
def test_an_action_is_on_all_jobs_if_no_filter_leaves_one_out(kind: ActionKind) -> None:
    now = datetime.now(UTC)
    search = JobSearch(statuses=STATES_CHANGED_BY[kind], as_of=now)
    assert is_on_all_jobs(kind, search)
    assert is_on_all_jobs(kind, JobSearch.from_json(search.to_json()))
    assert not is_on_all_jobs(kind, replace(search, statuses=frozenset([min(STATES_CHANGED_BY[kind])])))
    filters: dict[str, Any] = dict.fromkeys(("operation", "queue", "tag", "error"), "x")
    filters |= dict.fromkeys(("created_after", "created_before", "finished_after", "finished_before"), now)
    for name, value in filters.items():
        assert not is_on_all_jobs(kind, replace(search, **{name: value}))


@pytest.mark.parametrize(
    ("phase", "is_on_all", "count", "is_allowed"),
    [
        (Phase.PREVIEW, True, None, False),
        (Phase.PREVIEW, True, 4, False),
        (Phase.PREVIEW, True, 5, True),
        (Phase.PREVIEW, False, None, True),
        (Phase.PREVIEW, False, 4, False),
        (Phase.PREVIEW, False, 5, True),
        (Phase.STOPPED, True, None, True),
        (Phase.STOPPED, True, 4, False),
        (Phase.RUNNING, True, None, True),
    ],
)
def test_a_start_confirms_the_count_of_the_preview(
    phase: Phase, is_on_all: bool, count: int | None, is_allowed: bool
) -> None:
    if is_allowed:
        check_confirmation(phase, is_on_all=is_on_all, preview_count=5, count=count)
        return
    with pytest.raises(CountNotConfirmed, match=r'{"count": 5}') as caught:
        check_confirmation(phase, is_on_all=is_on_all, preview_count=5, count=count)
    assert caught.value.count == 5


def test_reasons_are_added_to_a_copy_of_the_counts() -> None:
    assert add_reasons({"removed": 2}, [SkipReason.REMOVED, SkipReason.MOVED_ON, SkipReason.MOVED_ON]) == {
        "removed": 3,
        "moved_on": 2,
    }
    counts = {"removed": 2}
    add_reasons(counts, [SkipReason.REMOVED])
    assert counts == {"removed": 2}


@pytest.mark.parametrize(
    ("phase", "count", "matched", "done", "undone", "share"),
    [
        (Phase.PREVIEW, 10, 0, 0, 0, 0.0),
        (Phase.RUNNING, 10, 4, 3, 0, 0.4),
        (Phase.STOPPED, 10, 4, 3, 0, 0.4),
        (Phase.RUNNING, 3, 6, 6, 0, 1.0),  # more than the estimate
        (Phase.RUNNING, 0, 0, 0, 0, 0.0),
        (Phase.UNDOING, 10, 10, 8, 2, 0.25),
        (Phase.UNDOING, 0, 0, 0, 0, 0.0),
        (Phase.DONE, 10, 4, 3, 0, 1.0),
        (Phase.UNDONE, 10, 4, 3, 3, 1.0),
    ],
)
def test_progress_is_the_share_of_processed_jobs_in_the_current_phase(
    phase: Phase, count: int, matched: int, done: int, undone: int, share: float
) -> None:
    assert progress(phase, count, matched, done, undone) == share
