"""Phases of actions: every pair of a phase and a verb, and how far one is."""

import pytest

from common.domain.bulk_actions import ACTS_ON, FINAL_PHASES, TRANSITIONS, ActionKind, Phase, SkipReason, Verb, add_reasons, next_phase, progress
from common.domain.errors import WrongPhase
from common.domain.states import TERMINAL, State
from common.domain.states import Transition as JobStep
from common.domain.states import next_state as job_step

POSSIBLE = {
    Verb.START: {Phase.PREVIEW: Phase.RUNNING, Phase.STOPPED: Phase.RUNNING, Phase.RUNNING: Phase.RUNNING},
    Verb.STOP: {Phase.RUNNING: Phase.STOPPED, Phase.UNDOING: Phase.STOPPED, Phase.STOPPED: Phase.STOPPED},
    Verb.UNDO: {Phase.STOPPED: Phase.UNDOING, Phase.DONE: Phase.UNDOING, Phase.UNDOING: Phase.UNDOING, Phase.UNDONE: Phase.UNDONE},
}


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("phase", Phase)
def test_a_verb_leads_to_one_phase_or_says_in_which_it_is_possible(phase: Phase, verb: Verb) -> None:
    if (after := POSSIBLE[verb].get(phase)) is not None:
        assert next_phase(phase, verb) is after
        assert next_phase(after, verb) is after, "safe to repeat"
        return
    with pytest.raises(WrongPhase) as refused:
        next_phase(phase, verb)
    assert refused.value.phase == phase
    assert str(refused.value).startswith(f"The action is {phase}; {verb} is possible while it is ")
    assert all(before in str(refused.value) for before in POSSIBLE[verb])


def test_what_has_something_to_do_comes_to_an_end() -> None:
    assert {after for after in TRANSITIONS.values() if after in {Phase.RUNNING, Phase.UNDOING}} == set(FINAL_PHASES)


def test_each_kind_acts_on_the_states_in_which_its_step_is_possible() -> None:
    steps = {ActionKind.CANCEL: JobStep.CANCEL, ActionKind.RETRY: JobStep.MANUAL_RETRY}
    for kind, by in steps.items():
        for state in State:
            if state in ACTS_ON[kind]:
                assert job_step(state, by)
            else:
                with pytest.raises(ValueError, match="cannot"):
                    job_step(state, by)
    assert ACTS_ON[ActionKind.REPRIORITISE] == set(State) - TERMINAL - {State.IN_PROGRESS}


def test_reasons_are_counted_on() -> None:
    assert add_reasons({"removed": 2}, [SkipReason.REMOVED, SkipReason.MOVED_ON, SkipReason.MOVED_ON]) == {"removed": 3, "moved_on": 2}
    before = {"removed": 2}
    add_reasons(before, [SkipReason.REMOVED])
    assert before == {"removed": 2}


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
def test_progress_is_the_share_of_what_is_under_way(phase: Phase, count: int, matched: int, done: int, undone: int, share: float) -> None:
    assert progress(phase, count, matched, done, undone) == share
