"""The states of a job and the legal transitions between them.

`State` and `TERMINAL` are used at run time. The table `TRANSITIONS` is not: the SQL of `common/store` makes the
transitions. The table is their specification. `docs/reference/states.md` is generated from it, and tests check the
statements and the decisions against it.
"""

from enum import StrEnum


class State(StrEnum):
    """The state of a job. Names are on the wire."""

    SCHEDULED = "SCHEDULED"  #: waits for its run_at before the first attempt; then it can be claimed
    BLOCKED = "BLOCKED"  #: waits for other jobs of its workflow, its parents
    PENDING = "PENDING"  #: due: it can be claimed now, or once a running job with its unique key has ended
    IN_PROGRESS = "IN_PROGRESS"  #: a worker process has claimed it
    RETRYING = "RETRYING"  #: waits for its backoff after a failed attempt; then it can be claimed
    SUCCESS = "SUCCESS"  #: has a result; retention deletes it
    FAILED = "FAILED"  #: has an error; retention deletes it
    CANCELLED = "CANCELLED"  #: ended by a client before it succeeded; retention deletes it


class Transition(StrEnum):
    """The cause of a change of state."""

    DUE = "due"  #: its due time has passed; nothing is written
    UNBLOCK = "unblock"  #: its parents have ended as its policy asks
    PARENT_FAIL = "parent_fail"  #: a parent has not succeeded, and its policy is `fail`
    PARENT_SKIP = "parent_skip"  #: a parent has not succeeded, and its policy is `skip`
    CLAIM = "claim"  #: a worker process claims it
    SUCCEED = "succeed"  #: the attempt returned a result
    FAIL = "fail"  #: the attempt failed and the job is not retried
    RETRY = "retry"  #: the attempt failed and another one follows after a delay
    RELEASE = "release"  #: the attempt is released: drain, lost lease, or a batch that took too long
    CANCEL = "cancel"  #: a client cancels it
    MANUAL_RETRY = "manual_retry"  #: a client retries the finished job, which begins another run
    UNDO = "undo"  #: a client undoes the bulk action that cancelled it; its due time stays


#: Every legal transition. A pair that is missing is impossible.
TRANSITIONS: dict[tuple[State, Transition], State] = {
    (State.SCHEDULED, Transition.DUE): State.PENDING,
    (State.SCHEDULED, Transition.CANCEL): State.CANCELLED,
    (State.BLOCKED, Transition.UNBLOCK): State.PENDING,
    (State.BLOCKED, Transition.PARENT_FAIL): State.FAILED,
    (State.BLOCKED, Transition.PARENT_SKIP): State.CANCELLED,
    (State.BLOCKED, Transition.CANCEL): State.CANCELLED,
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
    """Return the state that follows. Raises ValueError for a pair that the table does not have."""
    try:
        return TRANSITIONS[state, transition]
    except KeyError:
        raise ValueError(f"a job that is {state} cannot {transition}") from None
