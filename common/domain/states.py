"""The states of a job and the steps between them: the one table that code, docs and tests share."""

from enum import StrEnum


class State(StrEnum):
    """A job's state, by its name on the wire."""

    SCHEDULED = "SCHEDULED"  #: waits until run_at, before its first attempt; the claim takes it then
    PENDING = "PENDING"  #: may be claimed now
    IN_PROGRESS = "IN_PROGRESS"  #: a worker process holds it
    RETRYING = "RETRYING"  #: waits out its backoff after a failed attempt; the claim takes it then
    SUCCESS = "SUCCESS"  #: has a result; kept until retention
    FAILED = "FAILED"  #: has an error; kept until retention
    CANCELLED = "CANCELLED"  #: ended by a client before it succeeded; kept until retention


class Transition(StrEnum):
    """What moves a job from one state to another."""

    DUE = "due"  #: its time has come; nothing is written
    CLAIM = "claim"  #: a worker process takes it
    SUCCEED = "succeed"  #: the attempt returned a result
    FAIL = "fail"  #: the attempt failed for good
    RETRY = "retry"  #: the attempt failed and another one follows after a delay
    RELEASE = "release"  #: given back: drain, lost lease, or a neighbour that took too long
    CANCEL = "cancel"  #: a client ended it
    MANUAL_RETRY = "rerun"  #: a client asked for another epoch of a finished job
    UNDO = "undo"  #: a client took back the action that cancelled it; it waits for its time as it did


#: Every legal step. A pair that is not here is impossible.
TRANSITIONS: dict[tuple[State, Transition], State] = {
    (State.SCHEDULED, Transition.DUE): State.PENDING,
    (State.SCHEDULED, Transition.CANCEL): State.CANCELLED,
    (State.PENDING, Transition.CLAIM): State.IN_PROGRESS,
    (State.PENDING, Transition.CANCEL): State.CANCELLED,
    (State.IN_PROGRESS, Transition.SUCCEED): State.SUCCESS,
    (State.IN_PROGRESS, Transition.FAIL): State.FAILED,
    (State.IN_PROGRESS, Transition.RETRY): State.RETRYING,
    (State.IN_PROGRESS, Transition.RELEASE): State.PENDING,
    (State.IN_PROGRESS, Transition.CANCEL): State.CANCELLED,
    (State.RETRYING, Transition.DUE): State.PENDING,
    (State.RETRYING, Transition.CANCEL): State.CANCELLED,
    (State.FAILED, Transition.MANUAL_RETRY): State.PENDING,
    (State.CANCELLED, Transition.MANUAL_RETRY): State.PENDING,
    (State.CANCELLED, Transition.UNDO): State.PENDING,
}

TERMINAL = frozenset({State.SUCCESS, State.FAILED, State.CANCELLED})


def next_state(state: State, transition: Transition) -> State:
    """Return the state that follows. Raises ValueError for a step that the table does not have."""
    try:
        return TRANSITIONS[state, transition]
    except KeyError:
        raise ValueError(f"a job that is {state} cannot {transition}") from None
