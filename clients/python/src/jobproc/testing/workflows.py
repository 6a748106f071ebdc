"""The check of the jobs of a submitted workflow in a test."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any


def reasons_against(jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield why the API would refuse jobs for their names and parents."""
    if not jobs:
        yield "jobs: at least one is expected"
    graph = dict[str, Sequence[str]]()
    for position, job in enumerate(jobs):
        name = str(job.get("name", position))
        if "operation" not in job:
            yield f"jobs.{position}.operation: is missing"
        if name in graph:
            yield f"jobs.{position}.name: {name!r} stands twice"
        graph[name] = job.get("depends_on", ())
    yield from _reasons_against_parents(graph)


def _reasons_against_parents(graph: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for position, parents in enumerate(graph.values()):
        for parent in parents:
            if parent not in graph:
                yield f"jobs.{position}.depends_on: no job is named {parent!r}"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"jobs: they wait for each other: {' -> '.join(reversed(error.args[1]))}"
