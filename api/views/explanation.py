"""Why a job is where it is, said for people: from what the store sees by the conditions of the claim."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas import JOB_ID, QueueView
from common.domain.states import State
from common.domain.timeline import AttemptTimes, wait_times
from common.store.queues.explain import UnfinishedJob


class ReasonCode(StrEnum):
    """A reason."""

    ENDED = "ended"
    RUNNING = "running"
    CANCEL_REQUESTED = "cancel_requested"  #: it runs, and has been asked to stop
    NOT_DUE = "not_due"  #: its time has not come: the client's, or that of its pause after a failed attempt
    QUEUE_NOT_SERVED = "queue_not_served"  #: no living worker serves its queue
    OPERATION_NOT_KNOWN = "operation_not_known"  #: living workers serve its queue, and none knows its operation in that version
    KEY_IN_USE = "key_in_use"  #: a job with the same unique key runs
    JOBS_BEFORE = "jobs_before"  #: others are taken first
    NEXT = "next"  #: nothing holds it: the next worker that is free takes it


class BlockReason(BaseModel):
    """Why a job is where it is."""

    code: ReasonCode
    text: str = Field(description="For people.", examples=["Due jobs of its queue that are taken before it: 12."])


class QueuePosition(BaseModel):
    """Its place in its queue."""

    ahead: int = Field(description="Due jobs that are taken before it, counted up to JOBPROC_GAUGE_CAP_JOBS.", examples=[12])
    exact: bool = Field(description="Whether all were counted.", examples=[True])


class ExpectedStart(BaseModel):
    """When it will probably start."""

    earliest: datetime
    latest: datetime


class WaitedView(BaseModel):
    """What its time went into, in seconds, all attempts together."""

    scheduled_s: float = Field(description="Until the time that its client chose.")
    queued_s: float = Field(description="Due, until a worker took it.")
    paused_s: float = Field(description="Between a failed attempt and the next.")
    running_s: float = Field(description="In the hands of a worker.")


class Explanation(BaseModel):
    """Why a job is where it is."""

    job_id: UUID = JOB_ID
    status: State
    reasons: list[BlockReason] = Field(description="All that hold, the most lasting first.")
    position: QueuePosition | None = Field(description="Of a due job that waits.")
    expected_start: ExpectedStart | None = Field(
        description="From the rates at which its queue has finished jobs over the last 1, 5 and 15 minutes; null where it does not wait, "
        "where no worker could take it, or where nothing of its queue has ended lately."
    )
    waited: WaitedView


@dataclass(frozen=True, slots=True)
class ExplainInput:
    """What the store knows of a job."""

    job_id: UUID
    run_starts: dict[int, tuple[datetime, datetime]]
    attempts: list[AttemptTimes]
    unfinished: UnfinishedJob | None  #: None: it has ended
    last_outcome: tuple[str, datetime] | None  #: None: it never has


def explanation(seen: ExplainInput, queue: QueueView | None, count_limit: int) -> Explanation:
    """Say it. `queue`: how its queue is, None where nobody knows it; `cap`: jobs before it were counted up to there."""
    live = seen.unfinished
    if live is None:
        assert seen.last_outcome is not None  # noqa: S101 - a job is unfinished or has ended
        status, at = seen.last_outcome
        reasons, position, expected = [BlockReason(code=ReasonCode.ENDED, text=f"It ended {status} at {at.isoformat(timespec='milliseconds')}.")], None, None
        usage = wait_times(seen.run_starts, seen.attempts, at)
    else:
        status, reasons = _status(live), _reasons(live, count_limit)
        position = QueuePosition(ahead=live["ahead"], exact=live["ahead"] < count_limit) if live["unheld"] and live["due"] else None
        possible = live["unheld"] and live["knowing"] and live["beside"] is None
        expected = _expected_start(live, queue) if possible and queue is not None else None
        usage = wait_times(seen.run_starts, seen.attempts, live["now"], live["started_at"])
    return Explanation(
        job_id=seen.job_id, status=State(status), reasons=reasons, position=position, expected_start=expected, waited=WaitedView(**asdict(usage))
    )


def _status(live: UnfinishedJob) -> State:
    if not live["unheld"]:
        return State.IN_PROGRESS
    if live["due"]:
        return State.PENDING
    return State.RETRYING if live["charged"] else State.SCHEDULED


def _reasons(live: UnfinishedJob, count_limit: int) -> list[BlockReason]:
    if live["unheld"]:
        return list(_block_reasons(live, count_limit)) or [BlockReason(code=ReasonCode.NEXT, text="Nothing holds it: the next worker that is free takes it.")]
    runs = [BlockReason(code=ReasonCode.RUNNING, text=f"A worker has had it since {live['started_at'].isoformat(timespec='milliseconds')}.")]
    return [*runs, BlockReason(code=ReasonCode.CANCEL_REQUESTED, text="It has been asked to stop.")] if live["cancel"] else runs


def _block_reasons(live: UnfinishedJob, count_limit: int) -> Iterator[BlockReason]:
    if not live["serving"]:
        yield BlockReason(code=ReasonCode.QUEUE_NOT_SERVED, text=f"No living worker serves the queue {live['queue']!r}.")
    elif not live["knowing"]:
        yield BlockReason(
            code=ReasonCode.OPERATION_NOT_KNOWN, text=f"None of the {live['serving']} workers of the queue {live['queue']!r} knows {live['needs']!r}."
        )
    if live["beside"] is not None:
        yield BlockReason(code=ReasonCode.KEY_IN_USE, text=f"The job {live['beside']} has the same unique key and runs.")
    if not live["due"]:
        yield _not_due(live)
    elif live["ahead"]:
        many = f"{'At least ' * (live['ahead'] == count_limit)}{live['ahead']}"
        yield BlockReason(code=ReasonCode.JOBS_BEFORE, text=f"Due jobs of its queue that are taken before it: {many}.")


def _not_due(live: UnfinishedJob) -> BlockReason:
    why = f"It pauses after attempt {live['charged']} failed" if live["charged"] else "Its time has not come"
    return BlockReason(code=ReasonCode.NOT_DUE, text=f"{why}: not before {live['due_at'].isoformat(timespec='milliseconds')}.")


def _expected_start(live: UnfinishedJob, queue: QueueView) -> ExpectedStart | None:
    if not live["due"]:
        return ExpectedStart(earliest=live["due_at"], latest=live["due_at"] + timedelta(seconds=queue.oldest_due_seconds))
    rates = [
        rate
        for name in ("last_minute", "last_5_minutes", "last_15_minutes")
        if (rate := getattr(queue.succeeded_per_second, name) + getattr(queue.failed_per_second, name)) > 0
    ]
    if not rates:
        return None
    ahead = live["ahead"]
    return ExpectedStart(earliest=live["now"] + timedelta(seconds=ahead / max(rates)), latest=live["now"] + timedelta(seconds=(ahead + 1) / min(rates)))
