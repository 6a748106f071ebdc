"""The job of a schedule, made of its submission and the defaults of its operation at the time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from common.domain.job import DEFAULT_PRIORITY, HeldWhile, NewJob, OnConflict, Options, Unique
from common.domain.operation_spec import OperationSpec

SUBJECT = "schedule:"  #: before the id, the subject that submits the jobs of a schedule


@dataclass(frozen=True, slots=True)
class Instant:
    """An instant of a schedule, or a run of it by request."""

    schedule: UUID
    tenant: int
    at: datetime


def submitted_by(schedule: UUID) -> str:
    """Return the subject that submits the jobs of a schedule."""
    return f"{SUBJECT}{schedule}"


def new_job(
    submission: Mapping[str, Any],
    spec: OperationSpec,
    job_id: UUID,
    instant: Instant,
    default_webhook: UUID | None = None,
) -> NewJob:
    """Return the job of a valid submission, as it would be submitted now.

    Its metadata have the time of its instant as `scheduled_at`. `default_webhook`: if it names none.
    """
    input_ = {"data": submission["data"]} if "data" in submission else submission.get("input", {})
    timeout_s = submission.get("timeout_seconds")
    options = _options(submission, instant.at, default_webhook)
    return NewJob(
        id=job_id,
        operation=spec.name,
        queue=submission.get("queue") or spec.queue,
        input=_text(input_),
        max_attempts=submission.get("max_attempts") or spec.retry.max_attempts,
        timeout_ms=spec.timeout_ms if timeout_s is None else max(1, round(timeout_s * 1000)),
        priority=submission.get("priority", DEFAULT_PRIORITY),
        version=spec.version,
        options=options,
        tenant=instant.tenant,
        submitted_by=submitted_by(instant.schedule),
    )


def _options(submission: Mapping[str, Any], at: datetime, default_webhook: UUID | None) -> Options:
    webhook = default_webhook
    if "webhook" in submission:
        webhook = submission["webhook"] and UUID(submission["webhook"]["endpoint_id"])
    backoff, unique = submission.get("backoff"), submission.get("unique")
    metadata = {**(submission.get("metadata") or {}), "scheduled_at": at.astimezone(UTC).isoformat()}
    return Options(
        retry_base_s=backoff and backoff["base_seconds"],
        retry_cap_s=backoff and backoff["cap_seconds"],
        keep_s=submission.get("keep_seconds"),
        tags=tuple(dict.fromkeys(submission.get("tags") or ())),
        metadata=_text(metadata),
        unique=unique and Unique(unique["key"], HeldWhile.RUNNING, OnConflict.REJECT),
        concurrency_key=submission.get("concurrency_key"),
        webhook=webhook,
    )


def _text(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
