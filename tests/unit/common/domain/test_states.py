"""The state machine: every pair of a state and a step, and every walk."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.states import TERMINAL, TRANSITIONS, State, Transition, next_state

# Written down a second time, so that a change of the table is a change of two places that somebody meant.
LEGAL = {
    ("SCHEDULED", "due"): "PENDING",
    ("SCHEDULED", "cancel"): "CANCELLED",
    ("PENDING", "claim"): "IN_PROGRESS",
    ("PENDING", "cancel"): "CANCELLED",
    ("IN_PROGRESS", "succeed"): "SUCCESS",
    ("IN_PROGRESS", "fail"): "FAILED",
    ("IN_PROGRESS", "retry"): "RETRYING",
    ("IN_PROGRESS", "release"): "PENDING",
    ("IN_PROGRESS", "cancel"): "CANCELLED",
    ("RETRYING", "due"): "PENDING",
    ("RETRYING", "cancel"): "CANCELLED",
    ("FAILED", "rerun"): "PENDING",
    ("CANCELLED", "rerun"): "PENDING",
    ("CANCELLED", "undo"): "PENDING",
}


@pytest.mark.parametrize(("state", "by"), list(product(State, Transition)), ids=str)
def test_every_pair_of_a_state_and_a_step_is_either_in_the_table_or_refused(state: State, by: Transition) -> None:
    to = LEGAL.get((state.value, by.value))
    if to is not None:
        assert next_state(state, by) is State(to)
    else:
        with pytest.raises(ValueError, match=f"^a job that is {state.value} cannot {by.value}$"):
            next_state(state, by)


def test_the_table_has_no_pair_beside_the_legal_ones() -> None:
    assert {(state.value, by.value): to.value for (state, by), to in TRANSITIONS.items()} == LEGAL


def test_the_names_on_the_wire_are_fixed() -> None:
    assert [state.value for state in State] == ["SCHEDULED", "PENDING", "IN_PROGRESS", "RETRYING", "SUCCESS", "FAILED", "CANCELLED"]
    assert {state.value for state in TERMINAL} == {"SUCCESS", "FAILED", "CANCELLED"}


@given(st.sampled_from([State.PENDING, State.SCHEDULED]), st.lists(st.sampled_from(Transition), max_size=60))
@settings(deadline=None, max_examples=200)
def test_no_sequence_of_steps_leaves_the_table(state: State, walk: list[Transition]) -> None:
    """A refused step changes nothing, a terminal state is left by a rerun or an undo only, and success never."""
    for by in walk:
        try:
            after = next_state(state, by)
        except ValueError:
            continue
        assert after in State
        if state in TERMINAL:
            assert by in {Transition.MANUAL_RETRY, Transition.UNDO}
            assert state is not State.SUCCESS
        state = after


def test_every_state_can_be_reached_and_every_job_can_come_to_its_end() -> None:
    def reach(start: State) -> set[State]:
        seen, new = {start}, {start}
        while new:
            new = {to for (of, _), to in TRANSITIONS.items() if of in new} - seen
            seen |= new
        return seen

    assert reach(State.SCHEDULED) == set(State)
    assert all(reach(state) & TERMINAL for state in State)
