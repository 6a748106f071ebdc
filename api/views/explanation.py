"""GET /jobs/{job_id}/explain: the reasons why a job waits or runs, from the conditions of the claim."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas import JOB_ID, QueueView
from api.views.queues.policy_reasons import policy_reasons
from common.domain.states import State
from common.domain.timeline import AttemptTimes, wait_times
from common.store.queues.explain import UnfinishedJob


class ReasonCode(StrEnum):
    """A reason, as a code."""

    ENDED = "ended"
    RUNNING = "running"
    CANCEL_REQUESTED = "cancel_requested"  #: the job runs and was asked to stop
    NOT_DUE = "not_due"  #: before the start time that the client chose, or in the backoff after a failed attempt
    QUEUE_NOT_SERVED = "queue_not_served"  #: no live worker process serves the queue
    OPERATION_NOT_KNOWN = "operation_not_known"  #: no live worker process of the queue knows the operation's version
    KEY_IN_USE = "key_in_use"  #: a job with the same unique key runs, or runs before it
    TENANT_SUSPENDED = "tenant_suspended"  #: no job of the tenant is claimed
    QUEUE_PAUSED = "queue_paused"  #: no job of the queue starts
    QUEUE_CONCURRENCY = "queue_concurrency"  #: as many jobs of the queue run as its limit allows
    QUEUE_RATE = "queue_rate"  #: as many jobs of the queue have started a moment ago as its rate allows
    KEY_LIMIT = "key_limit"  #: as many jobs with the same concurrency key run, or have started, as its limit allows
    RUNNING_QUOTA = "running_quota"  #: as many jobs of the tenant run as its quota allows
    JOBS_AHEAD = "jobs_ahead"  #: other jobs of the tenant are claimed first
    OTHER_TENANTS = "other_tenants"  #: jobs of other tenants wait in the queue too, and get their share
    NEXT = "next"  #: the next free worker process claims the job


class BlockReason(BaseModel):
    """A reason why the job is in its state."""

    code: ReasonCode
    text: str = Field(description="The reason, for people.", examples=["Due jobs ahead of it in its queue: 12."])
    until: datetime | None = Field(None, description="Until when it holds. Null: that is not known.")


class QueuePosition(BaseModel):
    """The position of the job among its tenant's jobs in its queue."""

    ahead: int = Field(
        description="Due jobs of its tenant that are claimed before it, counted up to JOBPROC_QUEUE_COUNT_LIMIT.",
        examples=[12],
    )
    exact: bool = Field(description="False if `ahead` has reached that limit.", examples=[True])


class ExpectedStart(BaseModel):
    """The range of time in which the job will probably start."""

    earliest: datetime
    latest: datetime


class WaitedView(BaseModel):
    """The time that the job has spent, by cause, over all attempts."""

    scheduled_seconds: float = Field(description="Until the start time that the client chose.")
    queued_seconds: float = Field(description="Due, until a worker process claimed it.")
    paused_seconds: float = Field(description="In the backoff between attempts.")
    running_seconds: float = Field(description="Claimed by a worker process.")


class Explanation(BaseModel):
    """The reasons why a job is in its state."""

    job_id: UUID = JOB_ID
    status: State
    reasons: list[BlockReason] = Field(description="All reasons that apply, the longest-lasting first.")
    position: QueuePosition | None = Field(description="Null unless the job is due and waiting.")
    expected_start: ExpectedStart | None = Field(
        description="An estimate from the rates at which jobs of the queue ended over the last 1, 5 and 15 minutes, "
        "and from its tenant's share while other tenants have jobs in the queue. "
        "Null if the job is not waiting, if no worker process can claim it, or if no job of the queue ended recently."
    )
    waited: WaitedView


@dataclass(frozen=True, slots=True)
class ExplainInput:
    """The stored facts about a job from which its explanation is made."""

    job_id: UUID
    run_starts: dict[int, tuple[datetime, datetime]]  #: by run: when it began, and when it was due
    attempts: list[AttemptTimes]
    unfinished: UnfinishedJob | None  #: None: the job has ended
    last_outcome: tuple[str, datetime] | None  #: status and time; None: the job has never ended


def explanation(facts: ExplainInput, queue: QueueView | None, count_limit: int) -> Explanation:
    """Return the explanation of a job.

    `queue` has the statistics of its queue, None if they are unknown. Jobs ahead were counted up to `count_limit`.
    """
    unfinished = facts.unfinished
    if unfinished is None:
        assert facts.last_outcome is not None  # noqa: S101 - a job is unfinished or has ended
        status, at = facts.last_outcome
        text = f"The job ended {status} at {at.isoformat(timespec='milliseconds')}."
        reasons, position, expected_start = [BlockReason(code=ReasonCode.ENDED, text=text)], None, None
        waited = wait_times(facts.run_starts, facts.attempts, at)
    else:
        status, reasons = _status(unfinished), _reasons(unfinished, count_limit)
        position = (
            QueuePosition(ahead=unfinished["ahead"], exact=unfinished["ahead"] < count_limit)
            if unfinished["unclaimed"] and unfinished["due"]
            else None
        )
        is_claimable = (
            unfinished["unclaimed"]
            and unfinished["capable_workers"]
            and unfinished["key_holder"] is None
            and not unfinished["parked"]
            and not unfinished["suspended"]
            and not any(policy["paused_at"] for policy in unfinished["policies"])
        )
        expected_start = _expected_start(unfinished, queue) if is_claimable and queue is not None else None
        waited = wait_times(facts.run_starts, facts.attempts, unfinished["now"], unfinished["started_at"])
    return Explanation(
        job_id=facts.job_id,
        status=State(status),
        reasons=reasons,
        position=position,
        expected_start=expected_start,
        waited=WaitedView(**asdict(waited)),
    )


def _status(job: UnfinishedJob) -> State:
    if not job["unclaimed"]:
        return State.IN_PROGRESS
    if job["due"] or job["parked"]:
        return State.PENDING
    return State.RETRYING if job["charged"] else State.SCHEDULED


def _reasons(job: UnfinishedJob, count_limit: int) -> list[BlockReason]:
    if job["unclaimed"]:
        return list(_block_reasons(job, count_limit)) or [
            BlockReason(code=ReasonCode.NEXT, text="The next free worker process claims the job.")
        ]
    since = job["started_at"].isoformat(timespec="milliseconds")
    reasons = [BlockReason(code=ReasonCode.RUNNING, text=f"A worker process has held the job since {since}.")]
    if job["cancel_requested"]:
        reasons.append(BlockReason(code=ReasonCode.CANCEL_REQUESTED, text="The job was asked to stop."))
    return reasons


def _block_reasons(job: UnfinishedJob, count_limit: int) -> Iterator[BlockReason]:
    if not job["serving_workers"]:
        yield BlockReason(
            code=ReasonCode.QUEUE_NOT_SERVED, text=f"No live worker process serves the queue {job['queue']!r}."
        )
    elif not job["capable_workers"]:
        workers, queue = job["serving_workers"], job["queue"]
        text = f"None of the {workers} worker processes of the queue {queue!r} knows {job['needs']!r}."
        yield BlockReason(code=ReasonCode.OPERATION_NOT_KNOWN, text=text)
    if job["key_holder"] is not None:
        yield BlockReason(
            code=ReasonCode.KEY_IN_USE, text=f"The job {job['key_holder']} has the same unique key and is running."
        )
    elif job["parked"] and not job["is_limited"]:
        yield BlockReason(code=ReasonCode.KEY_IN_USE, text="Another job with the same unique key runs before it.")
    yield from _held_back(job)
    if not job["parked"]:
        yield from _jobs_before(job, count_limit)


def _held_back(job: UnfinishedJob) -> Iterator[BlockReason]:
    """Yield the reasons for which its tenant, or its queue, starts no job now."""
    if job["suspended"]:
        yield BlockReason(code=ReasonCode.TENANT_SUSPENDED, text="Its tenant is suspended: none of its jobs starts.")
    if job["is_limited"] and job["parked"] and not job["policies"]:
        yield BlockReason(code=ReasonCode.KEY_LIMIT, text="Its concurrency key had a limit; it is woken within a tick.")
    for code, text, until in policy_reasons(job["policies"]):
        yield BlockReason(code=ReasonCode(code), text=text, until=until)
    most = job["most_running"]
    if job["due"] and most is not None and job["tenants_running"] >= most:
        text = f"Its tenant has {job['tenants_running']} running jobs, and its quota of running_jobs is {most}."
        yield BlockReason(code=ReasonCode.RUNNING_QUOTA, text=text)


def _jobs_before(job: UnfinishedJob, count_limit: int) -> Iterator[BlockReason]:
    """Yield the reasons of a job that waits in its queue: its time has not come, or others are served before it."""
    if not job["due"]:
        yield _not_due(job)
    elif job["ahead"]:
        count = f"{'at least ' * (job['ahead'] == count_limit)}{job['ahead']}"
        yield BlockReason(code=ReasonCode.JOBS_AHEAD, text=f"Due jobs ahead of it in its queue: {count}.")
    if job["due"] and job["weight_of_others"]:
        text = "Other tenants' share: their jobs wait in the queue too, and each tenant is served in turn."
        yield BlockReason(code=ReasonCode.OTHER_TENANTS, text=text)


def _not_due(job: UnfinishedJob) -> BlockReason:
    text = f"Attempt {job['charged']} failed; the next one is due" if job["charged"] else "The job is due"
    text = f"{text} at {job['due_at'].isoformat(timespec='milliseconds')}."
    return BlockReason(code=ReasonCode.NOT_DUE, text=text, until=job["due_at"])


def _expected_start(job: UnfinishedJob, queue: QueueView) -> ExpectedStart | None:
    """Return the range of its start. Of what workers do in the queue, its tenant gets its share while others wait."""
    share = job["weight"] / (job["weight"] + job["weight_of_others"])
    rates = [
        rate * share
        for name in ("last_minute", "last_5_minutes", "last_15_minutes")
        if (rate := getattr(queue.succeeded_per_second, name) + getattr(queue.failed_per_second, name)) > 0
    ]
    if not job["due"] and (share == 1 or not rates):
        return ExpectedStart(earliest=job["due_at"], latest=job["due_at"] + timedelta(seconds=queue.oldest_due_seconds))
    if not rates:
        return None
    first = job["now"] if job["due"] else job["due_at"]
    ahead = job["ahead"] if job["due"] else 0
    return ExpectedStart(
        earliest=first + timedelta(seconds=ahead / max(rates)),
        latest=first + timedelta(seconds=(job["ahead"] + 1) / min(rates)),
    )
