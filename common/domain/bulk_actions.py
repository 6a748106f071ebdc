"""Bulk actions: cancel, retry or reprioritise all jobs that match a filter. Kinds, phases, legal changes of phase."""

from dataclasses import dataclass, replace
from enum import StrEnum

from common.domain.errors import CountNotConfirmed, WrongPhase
from common.domain.job_search import JobSearch
from common.domain.states import State


class ActionKind(StrEnum):
    """The change that an action makes to each job. Names are on the wire and stored."""

    CANCEL = "cancel"  #: a waiting job ends CANCELLED, a running one is asked to stop
    RETRY = "retry"  #: a FAILED or CANCELLED job gets a manual retry
    REPRIORITISE = "reprioritise"  #: a waiting job gets another priority


WAITING = frozenset({State.BLOCKED, State.SCHEDULED, State.PENDING, State.RETRYING})

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


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The request of a client to start an action."""

    count: int | None = None  #: the count of the preview, which it confirms
    first: int | None = None  #: the action stops by itself once it has changed so many jobs in all; None: it goes on
    subject: str | None = None  #: the client; None: callers are not authenticated


PLAIN_START = StartRequest()


class StopReason(StrEnum):
    """Why an action is STOPPED. Names are on the wire."""

    FIRST = "first"  #: it has changed as many jobs as its start asked for
    REQUEST = "request"  #: a client stopped it, or its undo
    ERROR = "error"  #: PostgreSQL refused a step


def stop_reason(phase: Phase, *, first: int | None, done: int, error: str | None) -> StopReason | None:
    """Return why an action is STOPPED, None in any other phase."""
    if phase is not Phase.STOPPED:
        return None
    if error is not None:
        return StopReason.ERROR
    return StopReason.FIRST if first is not None and done >= first else StopReason.REQUEST


def next_phase(phase: Phase, verb: ActionRequest) -> Phase:
    """Return the phase that follows. Raises WrongPhase, which names the phases in which the verb is possible."""
    try:
        return TRANSITIONS[phase, verb]
    except KeyError:
        raise WrongPhase(phase, verb, [str(before) for before, asked in TRANSITIONS if asked is verb]) from None


def is_on_all_jobs(kind: ActionKind, search: JobSearch) -> bool:
    """Return True if the search of an action leaves out none of the jobs that its kind can change."""
    no_filter = replace(search, as_of=None, statuses=frozenset(), descending=True) == JobSearch()
    return no_filter and search.statuses >= STATES_CHANGED_BY[kind]


def check_confirmation(phase: Phase, *, is_on_all: bool, preview_count: int, count: int | None) -> None:
    """Raise CountNotConfirmed unless the count in a request to start an action is that of its preview.

    `count` None: the request has none. It needs one for the first start of an action on all jobs.
    """
    if count is None:
        if is_on_all and phase is Phase.PREVIEW:
            raise CountNotConfirmed(preview_count, "The action is on all jobs.")
    elif count != preview_count:
        raise CountNotConfirmed(preview_count, "The count is not that of the preview.")


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
