"""Workflows: jobs of one submission that wait for each other. Each is a batch, whose ids and counts it has.

The jobs of a workflow are numbered so that a job has a higher number than those for which it waits. So no
cycle can be stored, and the numbers of a job's parents are a range that is read before each one is looked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

MAX_SHOWN = 6  # jobs of a cycle that an error names
NODE_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}"  # the name of a job in its workflow


class WorkflowState(StrEnum):
    """The state of a workflow, from what its jobs came to. Names are on the wire."""

    RUNNING = "RUNNING"  #: a job has not ended
    SUCCEEDED = "SUCCEEDED"  #: all jobs are SUCCESS
    FAILED = "FAILED"  #: at rest, and a job is FAILED
    CANCELLED = "CANCELLED"  #: at rest, no job is FAILED, and one was cancelled or skipped


class OnParentFailure(StrEnum):
    """The policy of a job for a parent that has not succeeded. Names are on the wire and stored."""

    FAIL = "fail"  #: it ends FAILED at once
    SKIP = "skip"  #: it ends CANCELLED at once
    RUN = "run"  #: it runs when all parents have ended, whatever they came to


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The place of a job in its workflow."""

    node: str  #: its name
    on_parent_failure: OnParentFailure | None = None  #: None: it has no parents
    parents: tuple[UUID, ...] = ()  #: jobs for which it waits, the latest first
    children: tuple[UUID, ...] = ()  #: jobs that wait for it alone
    joins: tuple[UUID, ...] = ()  #: jobs that wait for it and for others


@dataclass(frozen=True, slots=True)
class AddedJob:
    """A job that a running job adds to its workflow."""

    name: str  #: among those that the attempt adds
    operation: str
    input: str  #: JSON text
    depends_on: tuple[str, ...] = ()  #: names of others that the attempt adds; none: it may run at once
    on_parent_failure: OnParentFailure = OnParentFailure.FAIL
    queue: str | None = None  #: None: the operation's
    priority: int = 5
    max_attempts: int | None = None  #: None: the operation's
    timeout_ms: int | None = None  #: None: the operation's


@dataclass(slots=True)
class Node:
    """A job of a graph that is being built. Other jobs are named by their positions in the graph."""

    name: str
    parents: list[int] = field(default_factory=list)
    on_parent_failure: OnParentFailure = OnParentFailure.FAIL


class GraphError(Exception):
    """A graph cannot be stored."""

    def __init__(self, position: int, member: str, reason: str, parent: int | None = None) -> None:
        """`position`: that of the job; `member`: of the job; `parent`: the entry in that member."""
        super().__init__(reason)
        self.position = position
        self.member = member
        self.parent = parent
        self.reason = reason


@dataclass(slots=True)
class Graph:
    """The jobs of a workflow and their order."""

    nodes: list[Node]
    numbers: list[int]  #: by position: the job's number, from 0
    _children: list[list[int]]

    def dependencies(self, position: int, ids: Sequence[UUID]) -> Dependencies:
        """Return the place of the job at a position. `ids`: by number."""
        node, numbers = self.nodes[position], self.numbers
        children, joins = list[UUID](), list[UUID]()
        for child in self._children[position]:
            (children if len(self.nodes[child].parents) == 1 else joins).append(ids[numbers[child]])
        return Dependencies(
            node.name,
            node.on_parent_failure if node.parents else None,
            tuple(ids[number] for number in sorted((numbers[parent] for parent in node.parents), reverse=True)),
            tuple(sorted(children)),
            tuple(sorted(joins)),
        )


def positions_of(names: Sequence[str], parents: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the positions of each job's parents. Raises GraphError for an unknown, repeated or doubled name."""
    positions: dict[str, int] = {}
    for position, name in enumerate(names):
        if positions.setdefault(name, position) != position:
            raise GraphError(position, "name", f"is also the name of job {positions[name]}")
    found = list[list[int]]()
    for position, named in enumerate(parents):
        of_job = list[int]()
        seen = set[str]()
        for entry, name in enumerate(named):
            if name not in positions:
                raise GraphError(position, "depends_on", f"no job of the workflow has the name {name!r}", entry)
            if name in seen:
                raise GraphError(position, "depends_on", f"{name!r} stands twice in the list", entry)
            if positions[name] == position:
                raise GraphError(position, "depends_on", "a job cannot wait for itself", entry)
            seen.add(name)
            of_job.append(positions[name])
        found.append(of_job)
    return found


def graph_of(nodes: list[Node], max_children: int) -> Graph:
    """Number the jobs, parents first, else in their order.

    Raises GraphError for a cycle, or if more than `max_children` wait for one job.
    """
    children: list[list[int]] = [[] for _ in nodes]
    for position, node in enumerate(nodes):
        for parent in node.parents:
            children[parent].append(position)
    for position, waiting in enumerate(children):
        if len(waiting) > max_children:
            raise GraphError(position, "name", f"{len(waiting)} jobs wait for it, more than {max_children}")
    numbers = [0] * len(nodes)
    for number, position in enumerate(_order(nodes, children)):
        numbers[position] = number
    return Graph(nodes, numbers, children)


def _order(nodes: Sequence[Node], children: Sequence[Sequence[int]]) -> list[int]:
    """Return all positions, parents first. Raises GraphError for a cycle."""
    missing = [len(node.parents) for node in nodes]
    order = [position for position, count in enumerate(missing) if not count]
    for position in order:  # grows
        for child in children[position]:
            missing[child] -= 1
            if not missing[child]:
                order.append(child)
    if len(order) < len(nodes):
        cycle = _cycle(nodes, missing)
        shown = [repr(nodes[position].name) for position in [*cycle, cycle[0]][:MAX_SHOWN]]
        more = " ..." if len(cycle) >= MAX_SHOWN else ""
        raise GraphError(cycle[0], "depends_on", f"is part of a cycle: {' waits for '.join(shown)}{more}")
    return order


def _cycle(nodes: Sequence[Node], missing: Sequence[int]) -> list[int]:
    """Return jobs of a cycle, each before the one for which it waits.

    `missing`: by position the parents that are not in the order; 0 for jobs that are in it.
    """
    position = next(number for number, count in enumerate(missing) if count)
    places: dict[int, int] = {}
    path = list[int]()
    while position not in places:
        places[position] = len(path)
        path.append(position)
        position = next(parent for parent in nodes[position].parents if missing[parent])
    return path[places[position] :]


def state_of(failed: int, cancelled: int, *, is_at_rest: bool) -> WorkflowState:
    """Return the state of a workflow with so many FAILED and CANCELLED jobs."""
    if not is_at_rest:
        return WorkflowState.RUNNING
    if failed:
        return WorkflowState.FAILED
    return WorkflowState.CANCELLED if cancelled else WorkflowState.SUCCEEDED
