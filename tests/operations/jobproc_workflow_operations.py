"""Operations for tests of workflows: they return what their parents came to."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from jobproc_test_operations import _write
from pydantic import BaseModel, ConfigDict

from jobproc import Context, PermanentFailure, operation


class Step(BaseModel):
    """Input of the operations here."""

    model_config = ConfigDict(extra="forbid")

    value: float = 0.0
    seconds: float = 0.0
    fails: bool = False
    fails_while: str = ""  #: it fails while the file of this name exists in the folder of the test


def _outcome(step: Step, job: Context) -> dict[str, Any]:
    if step.fails or (step.fails_while and (Path(os.environ["JOBPROC_TEST_FOLDER"]) / step.fails_while).exists()):
        raise PermanentFailure("as it was told")
    parents = {name: parent.result if parent.succeeded else parent.status for name, parent in job.parents.items()}
    return {"value": step.value, "parents": parents}


@operation(name="flow_step", max_attempts=5, base_seconds=0.05, cap_seconds=0.2)
def flow_step(step: Step, job: Context) -> dict[str, Any]:
    """Return the value and the results of the parents."""
    _write(job, "begin")
    if step.seconds:
        time.sleep(step.seconds)
    outcome = _outcome(step, job)
    _write(job, "end")
    return outcome


@operation(name="flow_plain", max_attempts=20, base_seconds=0.05, cap_seconds=0.2)
def flow_plain(step: Step) -> float:
    """Return the value."""
    if step.fails:
        raise PermanentFailure("as it was told")
    return step.value


@operation(name="flow_await", max_attempts=5, base_seconds=0.05, cap_seconds=0.2)
async def flow_await(step: Step, job: Context) -> dict[str, Any]:
    """Do the same in the event loop."""
    _write(job, "begin")
    await asyncio.sleep(step.seconds)
    outcome = _outcome(step, job)
    _write(job, "end")
    return outcome


@operation(name="flow_sum")
def flow_sum(job: Context) -> float:
    """Return the sum of the values of the parents."""
    results = [parent.result for parent in job.parents.values() if parent.succeeded]
    return float(sum(result["value"] if isinstance(result, dict) else result for result in results))


class Parts(BaseModel):
    """Input of the operations that add jobs."""

    count: int = 0
    operation: str = "flow_step"
    then: str = ""  #: "fail": fail once they are added; "die": end the process, in the first attempt
    depth: int = 0  #: added jobs add jobs themselves, so many times


def _add(parts: Parts, job: Context) -> int:
    for number in range(parts.count):
        if parts.depth:
            name = "flow_split_await" if parts.operation == "flow_await" else "flow_split"
            job.add_job(name, parts.model_copy(update={"depth": parts.depth - 1}), name=f"part{number}")
        else:
            job.add_job(parts.operation, {"value": number}, name=f"part{number}")
    if parts.then == "fail" and job.attempt == 1:
        raise PermanentFailure("after it has added them")
    if parts.then == "raise" and job.attempt == 1:
        raise ValueError("after it has added them")
    if parts.then == "die" and job.attempt == 1:
        os._exit(1)
    return parts.count


@operation(name="flow_split", max_attempts=5, base_seconds=0.05, cap_seconds=0.2)
def flow_split(parts: Parts, job: Context) -> int:
    """Add jobs to the workflow."""
    return _add(parts, job)


@operation(name="flow_split_await", max_attempts=5, base_seconds=0.05, cap_seconds=0.2)
async def flow_split_await(parts: Parts, job: Context) -> int:
    """Do the same in the event loop."""
    return _add(parts, job)


@operation(name="flow_diamond")
def flow_diamond(job: Context) -> int:
    """Add a diamond to the workflow."""
    job.add_job("flow_step", {"value": 1}, name="top")
    for side in ("left", "right"):
        job.add_job("flow_step", {"value": 2}, name=side, depends_on=["top"])
    job.add_job("flow_step", {"value": 3}, name="bottom", depends_on=["left", "right"])
    return 0


class Fan(BaseModel):
    """Input of the operations that submit a workflow."""

    count: int = 0
    then: str = ""  #: "raise": fail once it is submitted; "die": end the process; in the first attempt
    parent: str = "0"  #: the name of the job for which the last one waits beside the others


def _fan(fan: Fan) -> list[dict[str, Any]]:
    steps = [{"operation": "flow_plain", "input": Step(value=number)} for number in range(fan.count)]
    return [*steps, {"name": "sum", "operation": "flow_sum", "depends_on": [str(n) for n in range(1, fan.count)]}]


@operation(name="flow_submit", max_attempts=5, base_seconds=0.05, cap_seconds=0.2)
def flow_submit(fan: Fan, job: Context) -> list[str]:
    """Submit two workflows and a job, and return their ids."""
    jobs = _fan(fan)
    jobs[-1]["depends_on"] = [fan.parent, *jobs[-1]["depends_on"]]
    submitted = [
        job.submit_workflow(jobs),
        job.submit("noop", {"data": [1]}),
        job.submit_workflow(jobs, follow_up={"operation": "noop", "data": [1]}),
    ]
    if fan.then == "raise" and job.attempt == 1:
        raise ValueError("after it has submitted them")
    if fan.then == "die" and job.attempt == 1:
        os._exit(1)
    return submitted


@operation(name="flow_submit_await", max_attempts=5, base_seconds=0.05, cap_seconds=0.2)
async def flow_submit_await(fan: Fan, job: Context) -> list[str]:
    """Submit two workflows at once in the event loop, and return their ids."""
    jobs = _fan(fan)
    own = job.submit_workflow_async(jobs, idempotency_key=f"own-{job.job_id}")
    return list(await asyncio.gather(own, job.submit_workflow_async(jobs)))
