"""GET /jobs/{job_id}: a job with its attempts, runs and timeline, as a response body."""

import json
from collections.abc import Iterator
from datetime import datetime

from api.schemas import (
    AttemptView,
    BackoffView,
    ErrorView,
    JobLinks,
    JobView,
    ProgressView,
    RunView,
    StateView,
    UniqueView,
    UsageView,
)
from common.domain.states import State
from common.domain.timeline import PastAttempt, Run, StateChange, timeline
from common.store.jobs import reads
from common.store.jobs.reads import Record


def job_view(row: Record) -> JobView:
    """Return the response body for a job's row, as `reads.job` returns it."""
    has_progress = row["progress"] is not None or row["progress_text"] is not None
    backoff = None
    if row["retry_base_s"] is not None:
        backoff = BackoffView(base_seconds=row["retry_base_s"], cap_seconds=row["retry_cap_s"])
    return JobView(
        job_id=row["id"],
        status=row["status"],
        operation=row["operation"],
        version=row["version"],
        queue=row["queue"],
        priority=row["priority"],
        input=None if row["input"] is None else json.loads(row["input"]),
        input_removed=row["input"] is None,
        tags=row["tags"] or [],
        metadata=None if row["metadata"] is None else json.loads(row["metadata"]),
        created_at=row["created_at"],
        run_at=row["run_at"],
        due_at=row["due_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        deadline=row["deadline"],
        run=row["run"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        timeout_seconds=None if row["timeout_ms"] is None else row["timeout_ms"] / 1000,
        backoff=backoff,
        keep_seconds=row["keep_s"],
        unique=_unique(row),
        worker=row["worker"],
        cancel_requested=row["cancel_requested"],
        progress=ProgressView(fraction=row["progress"], text=row["progress_text"]) if has_progress else None,
        result=None if row["result"] is None else json.loads(row["result"]),
        error=error_view(row),
        attempts=[_attempt_view(attempt) for attempt in reads.ended_attempts(row)],
        runs=[RunView(run=run["run"], at=run["at"], input=run["input"], undo=run["undo"]) for run in row["runs"]],
        timeline=[_state_view(change) for change in timeline(list(_runs(row)), row["now"])],
        links=_links(str(row["id"])),
    )


def etag_suffix(row: Record) -> str:
    """Return the part of the ETag that tells which inputs are left: their removal does not change the revision."""
    return "" if row["input"] is not None else f".{sum(run['input'] is not None for run in row['runs'])}"


def error_view(row: Record) -> ErrorView | None:
    """Return the error of a job or an attempt, None if it has none."""
    return None if row["error_type"] is None else ErrorView(type=row["error_type"], text=row["error_text"] or "")


def _unique(row: Record) -> UniqueView | None:
    return (
        None
        if row["unique_key"] is None
        else UniqueView.model_validate({"key": row["unique_key"], "while": row["unique_while"]})
    )


def _links(job_id: str) -> JobLinks:
    path = f"/jobs/{job_id}"
    return JobLinks(self=path, **{name: f"{path}/{name}" for name in JobLinks.model_fields if name != "self"})


def _attempt_view(attempt: Record) -> AttemptView:
    execution_s = attempt["execution_s"]
    total_s = (attempt["finished_at"] - attempt["started_at"]).total_seconds()
    overhead_s = None if execution_s is None else round(max(0.0, total_s - execution_s), 6)
    return AttemptView(
        run=attempt["run"],
        attempt=attempt["attempt"],
        worker=attempt["worker"],
        started_at=attempt["started_at"],
        finished_at=attempt["finished_at"],
        retry_at=attempt["retry_at"],
        outcome=attempt["outcome"],
        error=error_view(attempt),
        took=UsageView(
            execution_seconds=execution_s,
            overhead_seconds=overhead_s,
            cpu_seconds=attempt["cpu_s"],
            peak_memory_mebibytes=attempt["peak_mib"],
        ),
    )


def _state_view(change: StateChange) -> StateView:
    error = None if change.error_type is None else ErrorView(type=change.error_type, text=change.error_text or "")
    return StateView(
        at=change.at,
        status=change.status,
        run=change.run,
        attempt=change.attempt,
        worker=change.worker,
        error=error,
    )


def _runs(row: Record) -> Iterator[Run]:
    """Yield the runs of a job in order, each with its stored attempts and its outcome."""
    outcomes = {outcome["run"]: outcome for outcome in row["outcomes"]}
    starts = {run["run"]: run["at"] for run in row["runs"]}
    keeps_run_at = {0, *(run["run"] for run in row["runs"] if run["undo"])}  # a manual retry is due immediately
    numbers = {*outcomes, *starts, row["run"], *(attempt["run"] for attempt in row["attempts"])}
    for number in sorted(numbers):
        past_attempts = [_past_attempt(attempt) for attempt in row["attempts"] if attempt["run"] == number]
        outcome = outcomes.get(number)
        yield Run(
            number=number,
            at=_run_start(number, row, starts, past_attempts),
            due_at=row["run_at"] if number in keeps_run_at else None,
            past_attempts=past_attempts,
            last_attempt=_attempt_start(number, row if outcome is None else outcome),
            end=None if outcome is None else _state_change(outcome, outcome["finished_at"], State(outcome["status"])),
        )


def _run_start(number: int, row: Record, starts: dict[int, datetime], past_attempts: list[PastAttempt]) -> datetime:
    """Return when a run began; if that was not read, when its first known attempt began."""
    if number == 0:
        return row["created_at"]  # type: ignore[no-any-return]  # a record's values are Any
    return starts.get(number) or (past_attempts[0].started.at if past_attempts else row["now"])


def _past_attempt(attempt: Record) -> PastAttempt:
    next_state = State.RETRYING if attempt["outcome"] != "released" else State.PENDING
    return PastAttempt(
        _attempt_start(attempt["run"], attempt) or _state_change(attempt, attempt["started_at"], State.IN_PROGRESS),
        _state_change(attempt, attempt["finished_at"], next_state),
        attempt["retry_at"],
    )


def _attempt_start(number: int, row: Record) -> StateChange | None:
    return (
        None
        if row["started_at"] is None
        else StateChange(row["started_at"], State.IN_PROGRESS, number, row["attempt"], row["worker"])
    )


def _state_change(row: Record, at: datetime, status: State) -> StateChange:
    return StateChange(at, status, row["run"], row["attempt"], row["worker"], row["error_type"], row["error_text"])
