"""Actions on all jobs that match a filter: what each does, its phases and the steps between them. One table that code, docs and tests share."""

from enum import StrEnum

from common.domain.errors import WrongPhase
from common.domain.states import State


class ActionKind(StrEnum):
    """What is done to each job. Names are on the wire and stored."""

    CANCEL = "cancel"  #: one that waits ends CANCELLED, one that runs is asked to stop
    RETRY = "retry"  #: one that failed or was cancelled runs once more
    REPRIORITISE = "reprioritise"  #: one that waits gets another priority


WAITING = frozenset({State.SCHEDULED, State.PENDING, State.RETRYING})

#: The states of a job in which an action can do anything to it.
ACTS_ON = {
    ActionKind.CANCEL: WAITING | {State.IN_PROGRESS},
    ActionKind.RETRY: frozenset({State.FAILED, State.CANCELLED}),
    ActionKind.REPRIORITISE: WAITING,
}


class Phase(StrEnum):
    """How far an action is. Names are on the wire and stored."""

    PREVIEW = "PREVIEW"  #: what it would find has been counted; nothing is changed before it is started
    RUNNING = "RUNNING"  #: the controller goes through the jobs
    STOPPED = "STOPPED"  #: by a client, or by an error; goes on where it was once it is started again
    DONE = "DONE"  #: all jobs have had their turn
    UNDOING = "UNDOING"  #: the controller goes through what was done
    UNDONE = "UNDONE"  #: all of it has had its turn
    EXPIRED = "EXPIRED"  #: its time is over: removed with what is known of its jobs


class Verb(StrEnum):
    """What clients ask of an action. Names are on the wire."""

    START = "start"
    STOP = "stop"
    UNDO = "undo"


#: Every step that a client may ask for. One that has been done already is no error: it stays so.
TRANSITIONS: dict[tuple[Phase, Verb], Phase] = {
    (Phase.PREVIEW, Verb.START): Phase.RUNNING,
    (Phase.STOPPED, Verb.START): Phase.RUNNING,
    (Phase.RUNNING, Verb.START): Phase.RUNNING,
    (Phase.RUNNING, Verb.STOP): Phase.STOPPED,
    (Phase.UNDOING, Verb.STOP): Phase.STOPPED,
    (Phase.STOPPED, Verb.STOP): Phase.STOPPED,
    (Phase.STOPPED, Verb.UNDO): Phase.UNDOING,
    (Phase.DONE, Verb.UNDO): Phase.UNDOING,
    (Phase.UNDOING, Verb.UNDO): Phase.UNDOING,
    (Phase.UNDONE, Verb.UNDO): Phase.UNDONE,
}

#: What follows once the controller has gone through everything.
FINAL_PHASES = {Phase.RUNNING: Phase.DONE, Phase.UNDOING: Phase.UNDONE}


def next_phase(phase: Phase, verb: Verb) -> Phase:
    """Return the phase that follows. Raises WrongPhase, which says in which phases the verb is possible."""
    try:
        return TRANSITIONS[phase, verb]
    except KeyError:
        raise WrongPhase(phase, verb, [str(before) for before, asked in TRANSITIONS if asked is verb]) from None


class SkipReason(StrEnum):
    """Why a job that matched was left as it is. Names are on the wire and stored."""

    MOVED_ON = "moved_on"  #: between the look at it and its lock it came to another state
    INPUT_REMOVED = "input_removed"  #: its input has been removed
    UNIQUE_CONFLICT = "unique_conflict"  #: another job holds its unique key
    UNCHANGED = "unchanged"  #: it has that priority already
    WAS_RUNNING = "was_running"  #: it was asked to stop; that cannot be taken back
    REMOVED = "removed"  #: the job is not there any more


Counts = dict[str, int]


def add_reasons(counts: Counts, reasons: list[SkipReason]) -> Counts:
    """Return the counts with these added."""
    found = dict(counts)
    for reason in reasons:
        found[reason] = found.get(reason, 0) + 1
    return found


def progress(phase: Phase, count: int, matched: int, done: int, undone: int) -> float:
    """Return the share, 0 to 1, of the jobs that have had their turn: of `count` that were found at first, while an action is undone of the `done`."""
    if phase in {Phase.DONE, Phase.UNDONE}:
        return 1.0
    had, all_ = (undone, done) if phase is Phase.UNDOING else (matched, count)
    return 0.0 if not had else min(1.0, had / max(all_, had))
