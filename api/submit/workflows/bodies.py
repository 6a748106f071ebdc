"""Workflows of a request: their jobs, parsed, numbered, each with the ids of its parents and of those that wait."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from api.auth.principal import Principal
from api.submit.batches.bodies import parse_batch
from api.submit.batches.parse_slices import ParseSlices
from api.submit.parsing import SubmissionParser
from api.submit.request_models import BatchBody
from api.submit.workflows.models import NodeMembers
from api.web.problem_kinds import INVALID_BODY
from api.web.problems import field_problem, validation_problem
from common.domain.batches import batch_job_id
from common.domain.errors import InvalidSubmission
from common.domain.job import HeldWhile, NewJob, Options
from common.domain.workflows import Graph, GraphError, Node, graph_of, positions_of
from common.settings import Settings

MEMBERS = ("name", "depends_on", "on_parent_failure")
_members_adapter: TypeAdapter[NodeMembers] = TypeAdapter(NodeMembers)


@dataclass(frozen=True, slots=True)
class SubmittedWorkflow:
    """The body of POST /workflows."""

    jobs: list[Any]
    options: BatchBody  #: its other members


def workflow_body(value: Any, most: int) -> SubmittedWorkflow:
    """Return the parts of a body. Raises ProblemError unless it has 1 to `most` jobs, or for unknown members."""
    if not isinstance(value, dict) or "jobs" not in value:
        raise field_problem(INVALID_BODY, [("jobs", "Field required")], 1)
    options = parse_batch({name: member for name, member in value.items() if name != "jobs"})
    jobs = value["jobs"]
    if not isinstance(jobs, list) or not 1 <= len(jobs) <= most:
        raise field_problem(INVALID_BODY, [("jobs", f"an array of 1 to {most} submissions is expected")], 1)
    return SubmittedWorkflow(jobs, options)


def take_members(value: Any, prefix: str) -> NodeMembers:
    """Take the members of a job of a workflow out of a submission. Raises ProblemError, which names the field."""
    if not isinstance(value, dict):
        return NodeMembers()
    members = {name: value.pop(name) for name in MEMBERS if name in value}
    try:
        return _members_adapter.validate_python(members)
    except ValidationError as error:
        raise validation_problem(error, prefix=prefix) from error


def build_graph(members: Sequence[NodeMembers], settings: Settings, prefix: str) -> Graph:
    """Return the graph of a workflow. Raises ProblemError for unknown parents, cycles and too many edges.

    `prefix`: the path of the jobs in the body.
    """
    edges = sum(len(node.depends_on) for node in members)
    if edges > settings.max_workflow_dependencies:
        reason = f"has {edges} entries in all jobs together, more than {settings.max_workflow_dependencies}"
        raise field_problem(INVALID_BODY, [(f"{prefix}depends_on".lstrip("."), reason)], 1)
    names = [str(position) if node.name is None else node.name for position, node in enumerate(members)]
    try:
        parents = positions_of(names, [node.depends_on for node in members])
        nodes = [
            Node(name, of_job, node.on_parent_failure)
            for name, of_job, node in zip(names, parents, members, strict=True)
        ]
        return graph_of(nodes, settings.max_jobs_per_parent)
    except GraphError as error:
        field = f"{prefix}{error.position}."
        field += error.member if error.parent is None else f"{error.member}.{error.parent}"
        raise field_problem(INVALID_BODY, [(field, error.reason)], 1) from error


async def parse_workflow(
    parser: SubmissionParser, caller: Principal, jobs: list[Any], batch_id: UUID, settings: Settings
) -> list[NewJob]:
    """Return the jobs of a workflow in the order of the submission. Other requests run between parts of a large one.

    Raises ProblemError, which names the field, else as the parser does.
    """
    members, parsed, slices = list[NodeMembers](), list[NewJob](), ParseSlices()
    for index, submission in enumerate(jobs):
        await slices.pause_if_over()
        prefix = f"jobs.{index}."
        members.append(take_members(submission, prefix))
        job = await parser.parse(submission, caller, prefix)
        check_options(job, members[-1], prefix)
        parsed.append(job)
    graph = await asyncio.to_thread(build_graph, members, settings, "jobs.")
    ids = [batch_job_id(batch_id, number) for number in range(1, len(parsed) + 1)]
    for position, job in enumerate(parsed):
        await slices.pause_if_over()
        options = replace(job.options or Options(), dependencies=graph.dependencies(position, ids))
        parsed[position] = replace(job, id=ids[graph.numbers[position]], options=options)
    return parsed


def check_options(job: NewJob, members: NodeMembers, prefix: str) -> None:
    """Refuse options that a job of a workflow cannot have. Raises InvalidSubmission, which names the field."""
    options = job.options
    if options is None:
        return
    if options.unique is not None and options.unique.held_while is not HeldWhile.RUNNING:
        raise InvalidSubmission(f"{prefix}unique", "is possible in a workflow only with `while` `running`")
    for field, value in (("run_at", options.run_at), ("delay_seconds", options.delay_s)):
        if value is not None and members.depends_on:
            raise InvalidSubmission(f"{prefix}{field}", "cannot be combined with depends_on")
