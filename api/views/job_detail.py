"""GET /jobs/{job_id}: a job with its attempts, runs and timeline, as a response body."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from common.domain.states import State
from common.domain.timeline import PastAttempt, Run, StateChange, timeline
from common.store.jobs import reads
from common.store.jobs.reads import Record

Json = dict[str, Any]
_LINKED = ("status", "result", "input", "cancel", "retry", "events", "logs", "explain")
_ATTEMPT_MEMBERS = ("run", "attempt", "worker", "started_at", "finished_at", "retry_at", "outcome")


def response_body(row: Record, root: str = "") -> bytes:
    """Return the response body for a job's row, as `reads.job` returns it: a JobView. Its links begin with `root`.

    Inputs, metadata and result are put in as the JSON text that is stored. To parse them and write them again would
    hold the event loop for a second with a few megabytes.
    """
    has_progress = row["progress"] is not None or row["progress_text"] is not None
    has_backoff, path = row["retry_base_s"] is not None, f"{root}/jobs/{row['id']}"
    body = {
        "job_id": str(row["id"]),
        "status": row["status"],
        "operation": row["operation"],
        "version": row["version"],
        "queue": row["queue"],
        "priority": row["priority"],
        "input": _stored_json(row["input"]),
        "input_removed": not row["has_input"],
        "input_omitted": row["has_input"] and row["input"] is None,
        "tags": row["tags"] or [],
        "metadata": _stored_json(row["metadata"]),
        "submitted_by": row["submitted_by"],
        "trace_id": row["trace_id"],
        "created_at": row["created_at"],
        "run_at": row["run_at"],
        "due_at": row["due_at"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
        "deadline": row["deadline"],
        "run": row["run"],
        "attempt": row["attempt"],
        "max_attempts": row["max_attempts"],
        "timeout_seconds": None if row["timeout_ms"] is None else row["timeout_ms"] / 1000,
        "backoff": {"base_seconds": row["retry_base_s"], "cap_seconds": row["retry_cap_s"]} if has_backoff else None,
        "keep_seconds": row["keep_s"],
        "unique": None if row["unique_key"] is None else {"key": row["unique_key"], "while": row["unique_while"]},
        "concurrency_key": row["concurrency_key"],
        "webhook": None if row["webhook"] is None else {"endpoint_id": str(row["webhook"])},
        "worker": row["worker"],
        "cancel_requested": row["cancel_requested"],
        "progress": {"fraction": row["progress"], "text": row["progress_text"]} if has_progress else None,
        "result": _stored_json(row["result"]),
        "result_omitted": row["has_result"] and row["result"] is None,
        "error": _failure(row, _traceback(row)),
        "attempts": [_attempt(attempt) for attempt in reads.ended_attempts(row)],
        "runs": [_run(run, path) for run in row["runs"]],
        "timeline": [_state(change) for change in timeline(list(_runs(row)), row["now"])],
        "links": {"self": path} | {name: f"{path}/{name}" for name in _LINKED},
    }
    return orjson.dumps(body, option=orjson.OPT_UTC_Z)


def input_body(job_id: UUID, run: int, text: str | None) -> bytes:
    """Return the response body for the input of a run (JSON text; None: it was removed): an InputView."""
    return orjson.dumps({"job_id": job_id, "run": run, "input": _stored_json(text), "input_removed": text is None})


def etag_suffix(row: Record, *, with_payload: bool) -> str:
    """Return the part of the ETag that tells which inputs are left: their removal does not change the revision.

    Without payload the response is another one.
    """
    return ("" if with_payload else ".hidden") + _inputs_left(row)


def _inputs_left(row: Record) -> str:
    return "" if row["has_input"] else f".{sum(run['has_input'] for run in row['runs'])}"


def _stored_json(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)


def _error(error_type: str | None, text: str | None) -> Json | None:
    return None if error_type is None else {"type": error_type, "text": text or ""}


def _failure(row: Record, traceback: str | None) -> Json | None:
    error = _error(row["error_type"], row["error_text"])
    return None if error is None else error | {"traceback": traceback}


def _traceback(row: Record) -> str | None:
    """Return the traceback of the attempt that ended the newest run."""
    return next((outcome["traceback"] for outcome in row["outcomes"] if outcome["run"] == row["run"]), None)


def _run(run: Record, path: str) -> Json:
    return {
        "run": run["run"],
        "at": run["at"],
        "input": _stored_json(run["input"]),
        "input_omitted": run["has_input"] and run["input"] is None,
        "undo": run["undo"],
        "links": {"input": f"{path}/input?run={run['run']}"},
    }


def _attempt(attempt: Record) -> Json:
    execution_s = attempt["execution_s"]
    total_s = (attempt["finished_at"] - attempt["started_at"]).total_seconds()
    overhead_s = None if execution_s is None else round(max(0.0, total_s - execution_s), 6)
    view: Json = {name: attempt[name] for name in _ATTEMPT_MEMBERS}
    view["error"] = _failure(attempt, attempt["traceback"])
    view["took"] = {
        "execution_seconds": execution_s,
        "overhead_seconds": overhead_s,
        "cpu_seconds": attempt["cpu_s"],
        "peak_memory_mebibytes": attempt["peak_mib"],
    }
    return view


def _state(change: StateChange) -> Json:
    return {
        "at": change.at,
        "status": change.status,
        "run": change.run,
        "attempt": change.attempt,
        "worker": change.worker,
        "error": _error(change.error_type, change.error_text),
    }


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
            has_parents=row["has_parents"],
            unblocked_at=_unblocked_at(number, row, has_attempts=bool(past_attempts)),
        )


def _unblocked_at(number: int, row: Record, *, has_attempts: bool) -> datetime | None:
    """Return when the parents of a job had ended, if that has let its newest run go."""
    is_waiting = row["status"] in (State.PENDING, State.RETRYING)
    if number != row["run"] or not (has_attempts or is_waiting or row["started_at"] is not None):
        return None
    return row["parents_ended_at"]  # type: ignore[no-any-return]  # a record's values are Any


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
