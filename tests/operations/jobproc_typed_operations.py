"""Operations for the tests of inputs, results and the Context."""

import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from jobproc_test_operations import quick
from pydantic import BaseModel, Field

from jobproc import Context, RetryAfter, operation


class Invoice(BaseModel):
    """A result with types that JSON does not have."""

    number: UUID
    due: date
    total: Decimal
    seal: bytes


@operation
def bill(number: UUID, price: Decimal, pieces: Annotated[int, Field(ge=1)] = 1, on: date = date(2026, 1, 2)) -> Invoice:
    """Return an invoice."""
    return Invoice(number=number, due=on + timedelta(days=14), total=price * pieces, seal=b"seal")


@dataclass
class Facts:
    """Facts that a Context has of its job."""

    job_id: str
    attempt: int
    deadline: datetime | None
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    logger: str


def _facts(job: Context) -> Facts:
    return Facts(job.job_id, job.attempt, job.deadline, job.tags, dict(job.metadata), job.logger.name)


@operation(name="tell_facts")
def tell_facts(job: Context) -> Facts:
    """Return the facts of the job."""
    return _facts(job)


@operation(name="await_facts")
async def await_facts(job: Context) -> Facts:
    """Return the facts of the job."""
    return _facts(job)


@operation(name="two_queues", queues=("default", "slow"))
def two_queues() -> datetime:
    """Return a time."""
    return datetime.fromtimestamp(0).astimezone()


@quick(name="hand_out")
def hand_out(job: Context, jobs: int, fails: int = 0) -> list[str]:
    """Submit further jobs, and return their ids. Fail in the first attempts."""
    ids = [job.submit("noop", {"data": [number]}, tags=["handed_out"]) for number in range(1, jobs + 1)]
    if job.attempt <= fails:
        raise RetryAfter(0)
    return ids


@quick(name="await_hand_out", max_attempts=1)
async def await_hand_out(job: Context, operation_name: str) -> str:
    """Submit a further job of an operation."""
    return await job.submit_async(operation_name, idempotency_key=f"own-{job.job_id}")


@quick(name="hand_out_slowly", max_attempts=1)
def hand_out_slowly(job: Context) -> float:
    """Return the seconds that a refused submission took."""
    began_s = time.monotonic()
    try:
        job.submit("noop", {"data": [1]})
    except Exception as error:
        raise RuntimeError(f"{time.monotonic() - began_s:.1f} s: {error}") from error
    return time.monotonic() - began_s
