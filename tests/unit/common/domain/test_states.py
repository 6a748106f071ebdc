"""The state machine: every pair of a state and a transition, and random sequences of transitions."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.states import TERMINAL, TRANSITIONS, State, Transition, next_state

# A second copy of the table, so that nobody changes it by accident.
LEGAL = {
    ("SCHEDULED", "due"): "PENDING",
    ("SCHEDULED", "cancel"): "CANCELLED",
    ("BLOCKED", "unblock"): "PENDING",
    ("BLOCKED", "parent_fail"): "FAILED",
    ("BLOCKED", "parent_skip"): "CANCELLED",
    ("BLOCKED", "cancel"): "CANCELLED",
    ("PENDING", "claim"): "IN_PROGRESS",
    ("PENDING", "cancel"): "CANCELLED",
    ("IN_PROGRESS", "succeed"): "SUCCESS",
    ("IN_PROGRESS", "fail"): "FAILED",
    ("IN_PROGRESS", "retry"): "RETRYING",
    ("IN_PROGRESS", "release"): "PENDING",
    ("IN_PROGRESS", "cancel"): "CANCELLED",
    ("RETRYING", "due"): "PENDING",
    ("RETRYING", "cancel"): "CANCELLED",
    ("FAILED", "manual_retry"): "PENDING",
    ("CANCELLED", "manual_retry"): "PENDING",
    ("CANCELLED", "undo"): "PENDING",
}


@pytest.mark.parametrize(("state", "transition"), list(product(State, Transition)), ids=str)
def test_every_pair_of_a_state_and_a_transition_is_legal_or_refused(state: State, transition: Transition) -> None:
    after = LEGAL.get((state.value, transition.value))
    if after is not None:
        assert next_state(state, transition) is State(after)
    else:
        with pytest.raises(ValueError, match=f"^a job that is {state.value} cannot {transition.value}$"):
            next_state(state, transition)


def test_the_table_has_the_legal_pairs_and_no_others() -> None:
    table = {(state.value, transition.value): after.value for (state, transition), after in TRANSITIONS.items()}
    assert table == LEGAL


def test_the_names_of_states_are_fixed() -> None:
    assert [state.value for state in State] == [
        "SCHEDULED",
        "BLOCKED",
        "PENDING",
        "IN_PROGRESS",
        "RETRYING",
        "SUCCESS",
        "FAILED",
        "CANCELLED",
    ]
    assert {state.value for state in TERMINAL} == {"SUCCESS", "FAILED", "CANCELLED"}


@given(
    st.sampled_from([State.PENDING, State.SCHEDULED, State.BLOCKED]), st.lists(st.sampled_from(Transition), max_size=60)
)
@settings(deadline=None, max_examples=200)
def test_no_sequence_of_transitions_leaves_the_table(state: State, transitions: list[Transition]) -> None:
    """Only a manual retry or an undo leaves a terminal state, and nothing leaves SUCCESS."""
    for transition in transitions:
        try:
            after = next_state(state, transition)
        except ValueError:
            continue
        assert after in State
        if state in TERMINAL:
            assert transition in {Transition.MANUAL_RETRY, Transition.UNDO}
            assert state is not State.SUCCESS
        state = after


def test_every_state_is_reachable_and_every_job_can_end() -> None:
    def reachable(start: State) -> set[State]:
        seen, new = {start}, {start}
        while new:
            new = {after for (before, _), after in TRANSITIONS.items() if before in new} - seen
            seen |= new
        return seen

    assert reachable(State.SCHEDULED) | {State.BLOCKED} == reachable(State.BLOCKED) | {State.SCHEDULED} == set(State)
    assert all(reachable(state) & TERMINAL for state in State)
