"""Submission of signatures: one job, a batch of jobs that wait for nobody, or a workflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobproc.celery.attempts import First, context_in_use, next_canvas_key
from jobproc.celery.configuration import client_in_use, zero_is_first
from jobproc.celery.errors import NotMapped
from jobproc.celery.options import operation_name, submission_options
from jobproc.celery.results import AsyncResult, GroupResult

MAX_JOB_NAME = 100  # characters of a name in a workflow
_DELAYS = ("delay_seconds", "run_at")


def submission(task: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a submission, with its idempotency key if it has one. Raises NotMapped."""
    try:
        made = submission_options(options, zero_is_first=zero_is_first())
    except NotMapped as error:
        raise NotMapped(f"{task}: {error}") from None
    return {"operation": operation_name(task), "input": {"args": list(args), "kwargs": dict(kwargs)}, **made}


def submit_one(body: dict[str, Any]) -> AsyncResult:
    """Submit a job: in an attempt by its Context, so that an attempt that is repeated submits it once."""
    options = dict(body)
    operation, job_input = options.pop("operation"), options.pop("input")
    context = context_in_use()
    if context is not None:
        return AsyncResult(context.submit(operation, job_input, **options))
    return AsyncResult(client_in_use().submit(operation, job_input, **options).id)


@dataclass(slots=True)
class Plan:
    """The jobs of a submission, with their names and parents."""

    jobs: list[dict[str, Any]] = field(default_factory=list)

    def add(self, task: str, body: dict[str, Any], first: First | None, after: list[str]) -> str:
        """Add a job and return its name. `first`: the results that it takes; `after`: the jobs for which it waits.

        Raises NotMapped, which names the task and the option.
        """
        name = f"{len(self.jobs)}.{body['operation']}"[:MAX_JOB_NAME]
        if "idempotency_key" in body:
            raise NotMapped(f"{task}: task_id is for a task that is submitted alone")
        if after:
            if delays := [option for option in _DELAYS if option in body]:
                raise NotMapped(
                    f"{task}: {delays[0]} of a task that waits for others; only those before it may have one"
                )
            body["depends_on"] = after
        if first is not None:
            body["input"]["first"] = first
        self.jobs.append({"name": name, **body})
        return name

    def submit(self, result: First) -> AsyncResult | GroupResult:
        """Submit all jobs or none, and return the handle of a result. An attempt that is repeated submits them once."""
        if not self.jobs:
            return GroupResult("", [])
        client, key = client_in_use(), next_canvas_key()
        if any("depends_on" in job for job in self.jobs):
            accepted = client.workflows.submit(self.jobs, None, key)
            submitted, job_ids = accepted.workflow_id, accepted.job_ids
        else:
            jobs = [{name: value for name, value in job.items() if name != "name"} for job in self.jobs]
            batch = client.batches.submit(jobs, None, key)
            submitted, job_ids = batch.batch_id, batch.job_ids
        return self._handle(result, submitted, dict(zip([job["name"] for job in self.jobs], job_ids, strict=True)))

    def _handle(self, result: First, submitted: str, ids: Mapping[str, str]) -> AsyncResult | GroupResult:
        """Return the handle of a job, or of a group, in the shape of a result."""
        if isinstance(result, list):
            return GroupResult(submitted, [self._handle(part, submitted, ids) for part in result])
        parents = {job["name"]: job.get("depends_on", []) for job in self.jobs}
        made = step = AsyncResult(ids[result])
        name = result
        while len(parents[name]) == 1:  # the steps before it, as far as they are single jobs
            (name,) = parents[name]
            step.parent = AsyncResult(ids[name])
            step = step.parent
        return made
