"""Bulk actions: cancel, retry or reprioritise all jobs that match a filter. Kinds, phases, legal changes of phase."""

from enum import StrEnum

from common.domain.errors import WrongPhase
from common.domain.states import State


class ActionKind(StrEnum):
    """The change that an action makes to each job. Names are on the wire and stored."""

    CANCEL = "cancel"  #: a waiting job ends CANCELLED, a running one is asked to stop
    RETRY = "retry"  #: a FAILED or CANCELLED job gets a manual retry
    REPRIORITISE = "reprioritise"  #: a waiting job gets another priority


WAITING = frozenset({State.SCHEDULED, State.PENDING, State.RETRYING})

#: The states of a job that an action of each kind can change.
STATES_CHANGED_BY = {
    ActionKind.CANCEL: WAITING | {State.IN_PROGRESS},
    ActionKind.RETRY: frozenset({State.FAILED, State.CANCELLED}),
    ActionKind.REPRIORITISE: WAITING,
}


class Phase(StrEnum):
    """The progress of an action. Names are on the wire and stored."""

    PREVIEW = "PREVIEW"  #: matching jobs have been counted; nothing changes before a client starts it
    RUNNING = "RUNNING"  #: the controller works through the matching jobs
    STOPPED = "STOPPED"  #: by a client or an error; a start resumes it at its position
    DONE = "DONE"  #: all matching jobs are processed
    UNDOING = "UNDOING"  #: the controller reverts the changes
    UNDONE = "UNDONE"  #: all changes are processed again
    EXPIRED = "EXPIRED"  #: past its retention; the controller deletes it and its records


class ActionRequest(StrEnum):
    """A client's request to an action. Names are on the wire."""

    START = "start"
    STOP = "stop"
    UNDO = "undo"


#: Every request that a client may make. A repeated request is no error and leaves the phase as it is.
TRANSITIONS: dict[tuple[Phase, ActionRequest], Phase] = {
    (Phase.PREVIEW, ActionRequest.START): Phase.RUNNING,
    (Phase.STOPPED, ActionRequest.START): Phase.RUNNING,
    (Phase.RUNNING, ActionRequest.START): Phase.RUNNING,
    (Phase.RUNNING, ActionRequest.STOP): Phase.STOPPED,
    (Phase.UNDOING, ActionRequest.STOP): Phase.STOPPED,
    (Phase.STOPPED, ActionRequest.STOP): Phase.STOPPED,
    (Phase.STOPPED, ActionRequest.UNDO): Phase.UNDOING,
    (Phase.DONE, ActionRequest.UNDO): Phase.UNDOING,
    (Phase.UNDOING, ActionRequest.UNDO): Phase.UNDOING,
    (Phase.UNDONE, ActionRequest.UNDO): Phase.UNDONE,
}

#: The phase that follows once the controller has processed every job.
FINAL_PHASES = {Phase.RUNNING: Phase.DONE, Phase.UNDOING: Phase.UNDONE}


def next_phase(phase: Phase, verb: ActionRequest) -> Phase:
    """Return the phase that follows. Raises WrongPhase, which names the phases in which the verb is possible."""
    try:
        return TRANSITIONS[phase, verb]
    except KeyError:
        raise WrongPhase(phase, verb, [str(before) for before, asked in TRANSITIONS if asked is verb]) from None


class SkipReason(StrEnum):
    """Why a matching job was left as it is. Names are on the wire and stored."""

    MOVED_ON = "moved_on"  #: its state changed between the scan and the lock
    INPUT_REMOVED = "input_removed"  #: its input has been removed
    UNIQUE_CONFLICT = "unique_conflict"  #: another job holds its unique key
    UNCHANGED = "unchanged"  #: it has that priority already
    WAS_RUNNING = "was_running"  #: it was asked to stop, which cannot be undone
    REMOVED = "removed"  #: retention has deleted the job


Counts = dict[str, int]


def add_reasons(counts: Counts, reasons: list[SkipReason]) -> Counts:
    """Return a copy of the counts with each of the reasons added once."""
    added = dict(counts)
    for reason in reasons:
        added[reason] = added.get(reason, 0) + 1
    return added


def progress(phase: Phase, count: int, matched: int, done: int, undone: int) -> float:
    """Return the share of jobs that are processed, 0 to 1.

    `count` is the number of jobs that the preview found, so while an action runs the share is `matched` of `count`.
    While it is undone, the share is `undone` of `done`.
    """
    if phase in {Phase.DONE, Phase.UNDONE}:
        return 1.0
    processed, total = (undone, done) if phase is Phase.UNDOING else (matched, count)
    return 0.0 if not processed else min(1.0, processed / max(total, processed))
