"""Submission of signatures: one job, a batch of jobs that wait for nobody, or a workflow."""

from dataclasses import dataclass, field
from typing import Any

from jobproc.celery.attempts import First, context_in_use
from jobproc.celery.configuration import client_in_use, zero_is_first
from jobproc.celery.errors import NotMapped
from jobproc.celery.options import operation_name, submission_options
from jobproc.celery.results import AsyncResult, GroupResult
from jobproc.celery.signatures import Signature, Step, chain, chord, group

MAX_JOB_NAME = 100  # characters of a name in a workflow
_DELAYS = ("delay_seconds", "run_at")


@dataclass(slots=True)
class Plan:
    """The jobs of a submission, with their names and parents."""

    jobs: list[dict[str, Any]] = field(default_factory=list)

    def add(self, step: Step, first: First | None, after: list[str]) -> tuple[First, list[str]]:
        """Add a step. `first`: the results that it takes; `after`: the jobs for which it waits.

        Returns the jobs whose results are its result, and those that end last.
        """
        if isinstance(step, Signature):
            return self._add_job(step, first, after)
        if isinstance(step, chain):
            return self._add_chain(step, first, after)
        if isinstance(step, group):
            return self._add_group(step, first, after)
        if isinstance(step, chord):
            if step.body is None:
                raise NotMapped("a chord needs a body: chord(header)(body)")
            return self.add(step.body, *self._add_group(step.header, first, after))
        raise NotMapped(f"{step!r} is no signature of jobproc.celery")

    def _add_job(self, step: Signature, first: First | None, after: list[str]) -> tuple[First, list[str]]:
        body = submission(step)
        name = f"{len(self.jobs)}.{body['operation']}"[:MAX_JOB_NAME]
        if "idempotency_key" in body:
            raise NotMapped(f"{step.name}: task_id is for a task that is submitted alone")
        if after:
            if delays := [option for option in _DELAYS if option in body]:
                raise NotMapped(
                    f"{step.name}: {delays[0]} of a task that waits for others; only the first may have one"
                )
            body["depends_on"] = after
        if first is not None and not step.immutable:
            body["input"]["first"] = first
        self.jobs.append({"name": name, **body})
        return name, [name]

    def _add_chain(self, step: chain, first: First | None, after: list[str]) -> tuple[First, list[str]]:
        if not step.steps:
            raise NotMapped("a chain needs a step")
        for part in step.steps:
            first, after = self.add(part, first, after)
        assert first is not None  # noqa: S101 - a step has a result
        return first, after

    def _add_group(self, step: group, first: First | None, after: list[str]) -> tuple[First, list[str]]:
        added = [self.add(part, first, after) for part in step.steps]
        last = [name for _, names in added for name in names]
        return [result for result, _ in added], last or after


def submission(step: Signature) -> dict[str, Any]:
    """Return the body of a submission, with its idempotency key if it has one. Raises NotMapped."""
    try:
        options = submission_options(step.options, zero_is_first=zero_is_first())
    except NotMapped as error:
        raise NotMapped(f"{step.name}: {error}") from None
    job_input = {"args": list(step.args), "kwargs": dict(step.kwargs)}
    return {"operation": operation_name(step.name), "input": job_input, **options}


def submit_one(step: Signature) -> AsyncResult:
    """Submit a job: in an attempt by its Context, so that an attempt that is repeated submits it once."""
    options = submission(step)
    operation, job_input = options.pop("operation"), options.pop("input")
    context = context_in_use()
    if context is not None:
        return AsyncResult(context.submit(operation, job_input, **options))
    return AsyncResult(client_in_use().submit(operation, job_input, **options).id)


def submit(step: Step) -> AsyncResult | GroupResult:
    """Submit a signature: all of its jobs or none."""
    if isinstance(step, Signature):
        return submit_one(step)
    plan = Plan()
    result, _ = plan.add(step, None, [])
    if not plan.jobs:
        return GroupResult("", [])
    client = client_in_use()
    if any("depends_on" in job for job in plan.jobs):
        accepted = client.workflows.submit(plan.jobs)
        submitted, job_ids = accepted.workflow_id, accepted.job_ids
    else:
        jobs = [{name: value for name, value in job.items() if name != "name"} for job in plan.jobs]
        batch = client.batches.submit(jobs)
        submitted, job_ids = batch.batch_id, batch.job_ids
    ids = dict(zip([job["name"] for job in plan.jobs], job_ids, strict=True))
    parents = {job["name"]: job.get("depends_on", []) for job in plan.jobs}
    return _handle(result, ids, parents, submitted)


def _handle(
    result: First, ids: dict[str, str], parents: dict[str, list[str]], submitted: str
) -> AsyncResult | GroupResult:
    """Return the handle of a job, or of a group, in the shape of a result."""
    if isinstance(result, list):
        return GroupResult(submitted, [_handle(part, ids, parents, submitted) for part in result])
    made = parent = AsyncResult(ids[result])
    name = result
    while len(parents[name]) == 1:  # the steps before it, as far as they are single jobs
        (name,) = parents[name]
        parent.parent = AsyncResult(ids[name])
        parent = parent.parent
    return made
