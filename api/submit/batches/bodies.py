"""Batches of a request: their jobs and their follow-up, parsed, with ids of one range."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson

from api.auth.principal import Principal
from api.submit.batches.parse_slices import ParseSlices
from api.submit.parsing import SubmissionParser, check_unique_keys
from api.submit.request_models import BatchBody
from api.web.problem_kinds import INVALID_BODY
from api.web.problems import MAX_ERRORS, field_problem, validated
from common.domain.batches import NewBatch, batch_job_id, new_batch_id
from common.domain.errors import InvalidSubmission
from common.domain.job import NewJob, Options

FOLLOW_UP_METADATA = "batch_id"  #: the member of a follow-up's metadata with the id of the batch


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """The body of POST /jobs/batch: an array of submissions, or an object with them."""

    submissions: Any
    options: BatchBody  #: its other members
    prefix: str  #: the path of the submissions in the body


def make_batch_id() -> UUID:
    """Return the id of a new batch."""
    return new_batch_id(time.time_ns() // 1_000_000, secrets.randbits(42))


def batch_body(value: Any) -> SubmittedBatch:
    """Return the parts of a body. Raises ProblemError for an object with unknown members."""
    if not isinstance(value, dict) or "jobs" not in value:
        return SubmittedBatch(value, BatchBody(), "")
    options = parse_batch({name: member for name, member in value.items() if name != "jobs"})
    return SubmittedBatch(value["jobs"], options, "jobs.")


async def parse_jobs(
    parser: SubmissionParser, caller: Principal, body: SubmittedBatch, batch_id: UUID, most: int
) -> Sequence[NewJob]:
    """Return the jobs of a batch, numbered from 1. Other requests run between parts of a large one.

    Raises ProblemError unless there are 1 to `most` submissions in an array, else as the parser does.
    """
    submissions = body.submissions
    if not isinstance(submissions, list) or not 1 <= len(submissions) <= most:
        field = body.prefix.rstrip(".")
        raise field_problem(INVALID_BODY, [(field, f"an array of 1 to {most} submissions is expected")], 1)
    jobs, slices = [], ParseSlices()
    for index, submission in enumerate(submissions):
        await slices.pause_if_over()
        jobs.append(await parser.parse(submission, caller, f"{body.prefix}{index}.", batch_job_id(batch_id, index + 1)))
    check_unique_keys(jobs, body.prefix)
    return jobs


def parse_batch(value: Any) -> BatchBody:
    """Return the members of a batch without its jobs. Raises ProblemError, which names the field."""
    if isinstance(value, dict) and len(value) > MAX_ERRORS:  # each field would add an error
        raise field_problem(INVALID_BODY, [("", "has more fields than the schema defines")], 1)
    return validated(BatchBody, value)


async def parse_follow_up(parser: SubmissionParser, caller: Principal, value: Any, batch_id: UUID) -> NewJob | None:
    """Return the follow-up of a batch, whose metadata name the batch; None without a value. Raises as the parser does.

    It gets its id when it is stored.
    """
    if value is None:
        return None
    job = await parser.parse(value, caller, "follow_up.")
    options = job.options or Options()
    if options.unique is not None:
        raise InvalidSubmission("follow_up.unique", "is not possible for a follow-up, which is stored once")
    metadata = {} if options.metadata is None else orjson.loads(options.metadata)
    text = orjson.dumps(metadata | {FOLLOW_UP_METADATA: str(batch_id)}).decode()
    return replace(job, options=replace(options, metadata=text))


async def new_batch(
    parser: SubmissionParser,
    caller: Principal,
    batch_id: UUID,
    options: BatchBody,
    *,
    closed: bool,
    is_workflow: bool = False,
) -> NewBatch:
    """Return a batch of a caller, with its follow-up and its webhook. Raises as the parser does."""
    webhook = await parser.webhook(options, caller.tenant)
    follow_up = await parse_follow_up(parser, caller, options.follow_up, batch_id)
    return NewBatch(batch_id, caller.tenant, caller.submitted_by, closed, follow_up, webhook, is_workflow)


def renumbered(jobs: Sequence[NewJob], first: int) -> list[NewJob]:
    """Return jobs that are numbered from 1 with numbers from `first` on."""
    return [replace(job, id=UUID(int=job.id.int + first - 1)) for job in jobs]
