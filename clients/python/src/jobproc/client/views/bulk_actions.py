"""Views of responses: bulk actions. Made by `make generate`."""

from __future__ import annotations

from typing import Literal

from jobproc.client.views.shared import State
from jobproc.client.views.view import View

ActionKind = Literal["cancel", "retry", "reprioritise"]
Phase = Literal["PREVIEW", "RUNNING", "STOPPED", "DONE", "UNDOING", "UNDONE", "EXPIRED"]
SkipReason = Literal["moved_on", "input_removed", "unique_conflict", "unchanged", "was_running", "removed"]
StopReason = Literal["first", "request", "error"]


class BulkActionLinks(View):
    """Links to a bulk action and to the requests about it, as paths."""

    self: str
    outcomes: str
    start: str
    stop: str
    undo: str


class BulkActionList(View):
    """A page of bulk actions, newest first."""

    bulk_actions: list[BulkActionView]
    next: str | None


class BulkActionOutcomes(View):
    """The states of the jobs that a bulk action has changed, and what an undo would do now."""

    bulk_action_id: str
    changed: int
    counted: int
    is_complete: bool
    states: dict[str, int]
    undoable: int
    not_undoable: dict[str, int]


class BulkActionView(View):
    """A bulk action and its progress."""

    bulk_action_id: str
    action: ActionKind
    phase: Phase
    filter: JobFilters
    priority: int | None
    jobs_per_second: int
    as_of: str
    count: int
    count_is_exact: bool
    sample: list[SampleJobView]
    sample_newest: list[SampleJobView]
    sample_random: list[SampleJobView]
    would_skip: dict[str, int]
    would_skip_is_exact: bool
    matched: int
    done: int
    cancels_requested: int
    skipped: dict[str, int]
    undone: int
    not_undone: dict[str, int]
    progress: float
    created_at: str
    created_by: str | None
    started_at: str | None
    started_by: str | None
    changed_at: str
    first: int | None
    stop_reason: StopReason | None
    error: str | None
    links: BulkActionLinks


class JobFilters(View):
    """Filters on jobs."""

    status: list[State]
    operation: str | None
    queue: str | None
    tag: str | None
    batch: str | None
    id_suffix: str | None
    created_after: str | None
    created_before: str | None
    finished_after: str | None
    finished_before: str | None
    error: str | None
    error_group: str | None
    input: list[str]
    metadata: list[str]


class SampleJobView(View):
    """A job that matched the filter of a bulk action."""

    job_id: str
    status: State
    operation: str
