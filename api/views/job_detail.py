"""Everything that is known of a job, as it goes over the wire."""

import json
from collections.abc import Iterator
from datetime import datetime

from api.schemas import AttemptView, BackoffView, ErrorView, JobLinks, JobView, ProgressView, RunView, StateView, UniqueView, UsageView
from common.domain.states import State
from common.domain.timeline import PastAttempt, Run, StateChange, timeline
from common.store.jobs import reads
from common.store.jobs.reads import Record


def job_view(row: Record) -> JobView:
    """Return what clients are told of a job."""
    reported = row["progress"] is not None or row["progress_text"] is not None
    attempts = reads.ended_attempts(row)
    return JobView(
        job_id=row["id"], status=row["status"], operation=row["operation"], version=row["version"], queue=row["queue"], priority=row["priority"],
        input=None if row["input"] is None else json.loads(row["input"]), input_removed=row["input"] is None,
        tags=row["tags"] or [], metadata=None if row["metadata"] is None else json.loads(row["metadata"]),
        created_at=row["created_at"], run_at=row["run_at"], due_at=row["due_at"], started_at=row["started_at"], finished_at=row["finished_at"],
        deadline=row["deadline"], epoch=row["epoch"], attempt=row["attempt"], max_attempts=row["max_attempts"],
        timeout_seconds=None if row["timeout_ms"] is None else row["timeout_ms"] / 1000,
        backoff=None if row["retry_base_s"] is None else BackoffView(base=row["retry_base_s"], cap=row["retry_cap_s"]),
        keep_seconds=row["keep_s"], unique=_unique(row), worker=row["worker"], cancel_requested=row["cancel_requested"],
        progress=ProgressView(fraction=row["progress"], text=row["progress_text"]) if reported else None,
        result=None if row["result"] is None else json.loads(row["result"]),
        error=error_view(row),
        attempts=[_attempt_view(one) for one in attempts],
        reruns=[RunView(epoch=one["epoch"], at=one["at"], input=one["input"], undo=one["undo"]) for one in row["reruns"]],
        timeline=[_state_view(one) for one in timeline(list(_runs(row)), row["now"])],
        links=_links(str(row["id"])),
    )  # fmt: skip


def etag_suffix(row: Record) -> str:
    """Return what names the answer beside the job's moment: inputs are removed from a job that does not change otherwise."""
    return "" if row["input"] is not None else f".{sum(one['input'] is not None for one in row['reruns'])}"


def error_view(row: Record) -> ErrorView | None:
    """Return why there is no result, None where nothing went wrong."""
    return None if row["error_type"] is None else ErrorView(type=row["error_type"], text=row["error_text"] or "")


def _unique(row: Record) -> UniqueView | None:
    return None if row["unique_key"] is None else UniqueView.model_validate({"key": row["unique_key"], "while": row["unique_while"]})


def _links(job_id: str) -> JobLinks:
    at = f"/jobs/{job_id}"
    return JobLinks(self=at, **{name: f"{at}/{name}" for name in JobLinks.model_fields if name != "self"})


def _attempt_view(one: Record) -> AttemptView:
    run_s, whole_s = one["run_s"], (one["ended_at"] - one["started_at"]).total_seconds()
    overhead_s = None if run_s is None else round(max(0.0, whole_s - run_s), 6)
    return AttemptView(
        epoch=one["epoch"], attempt=one["attempt"], worker=one["worker"], started_at=one["started_at"], ended_at=one["ended_at"], retry_at=one["retry_at"],
        outcome=one["ended"], error=error_view(one),
        took=UsageView(run_seconds=run_s, overhead_seconds=overhead_s, cpu_seconds=one["cpu_s"], peak_mebibytes=one["peak_mib"]),
    )  # fmt: skip


def _state_view(one: StateChange) -> StateView:
    error = None if one.error_type is None else ErrorView(type=one.error_type, text=one.error_text or "")
    return StateView(at=one.at, status=one.status, epoch=one.epoch, attempt=one.attempt, worker=one.worker, error=error)


def _runs(row: Record) -> Iterator[Run]:
    """Yield what is stored of each epoch, first to last."""
    ends = {one["epoch"]: one for one in row["outcomes"]}
    begins = {one["epoch"]: one["at"] for one in row["reruns"]}
    on = {0, *(one["epoch"] for one in row["reruns"] if one["undo"])}
    for number in sorted({*ends, *begins, row["epoch"], *(one["epoch"] for one in row["attempts"])}):
        ran = [_past_attempt(one) for one in row["attempts"] if one["epoch"] == number]
        end = ends.get(number)
        yield Run(
            number=number,
            at=_run_start(number, row, begins, ran),
            due_at=row["run_at"] if number in on else None,
            past_attempts=ran,
            last_attempt=_attempt_start(number, row if end is None else end),
            end=None if end is None else _state_change(end, end["finished_at"], State(end["status"])),
        )


def _run_start(number: int, row: Record, begins: dict[int, datetime], ran: list[PastAttempt]) -> datetime:
    """Return when an epoch began; of one whose beginning is not read, its first known attempt."""
    if number == 0:
        return row["created_at"]  # type: ignore[no-any-return]  # of a record
    return begins.get(number) or (ran[0].started.at if ran else row["now"])


def _past_attempt(one: Record) -> PastAttempt:
    waits = State.RETRYING if one["ended"] != "released" else State.PENDING
    return PastAttempt(
        _attempt_start(one["epoch"], one) or _state_change(one, one["started_at"], State.IN_PROGRESS),
        _state_change(one, one["ended_at"], waits),
        one["retry_at"],
    )


def _attempt_start(number: int, one: Record) -> StateChange | None:
    return None if one["started_at"] is None else StateChange(one["started_at"], State.IN_PROGRESS, number, one["attempt"], one["worker"])


def _state_change(one: Record, at: datetime, status: State) -> StateChange:
    return StateChange(at, status, one["epoch"], one["attempt"], one["worker"], one["error_type"], one["error_text"])
