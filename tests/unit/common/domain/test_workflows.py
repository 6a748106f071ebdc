"""Graphs of jobs: numbered parents first, whatever their order; cycles, unknown and doubled names are refused."""

import random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.workflows import (
    Graph,
    GraphError,
    Node,
    OnParentFailure,
    WorkflowState,
    graph_of,
    positions_of,
    state_of,
)


def build(parents: dict[str, list[str]], most: int = 10) -> Graph:
    found = positions_of(list(parents), list(parents.values()))
    return graph_of([Node(name, of_job) for name, of_job in zip(parents, found, strict=True)], most)


def refusal(parents: dict[str, list[str]], most: int = 10) -> GraphError:
    with pytest.raises(GraphError) as refused:
        build(parents, most)
    return refused.value


def ids(count: int) -> list[UUID]:
    return [UUID(int=number) for number in range(1, count + 1)]


def test_jobs_are_numbered_parents_first_and_know_each_other() -> None:
    graph = build({"end": ["left", "right"], "left": ["start"], "right": ["start"], "start": []})
    assert graph.numbers == [3, 1, 2, 0]
    start, left, end = (graph.dependencies(position, ids(4)) for position in (3, 1, 0))
    assert (start.parents, start.children, start.joins) == ((), (UUID(int=2), UUID(int=3)), ())
    assert start.on_parent_failure is None
    assert (left.parents, left.children, left.joins) == ((UUID(int=1),), (), (UUID(int=4),))
    assert left.on_parent_failure is OnParentFailure.FAIL
    assert end.parents == (UUID(int=3), UUID(int=2))  # the latest first


@given(st.integers(1, 60), st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_any_graph_without_a_cycle_is_numbered_in_order(size: int, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"j{number}" for number in range(size)]
    parents = {name: chance.sample(names[:n], min(n, chance.randint(0, 4))) for n, name in enumerate(names)}
    shuffled = {name: parents[name] for name in chance.sample(names, size)}
    graph = build(shuffled, size)
    assert sorted(graph.numbers) == list(range(size))
    waiting = 0
    for position, node in enumerate(graph.nodes):
        assert all(graph.numbers[parent] < graph.numbers[position] for parent in node.parents)
        place = graph.dependencies(position, ids(size))
        waiting += len(place.children) + len(place.joins)
    assert waiting == sum(map(len, parents.values()))


@given(st.integers(1, 20), st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_any_cycle_is_refused_and_named(size: int, seed: int) -> None:
    chance = random.Random(seed)
    cycle = [f"c{number}" for number in range(max(2, size))]
    parents = {name: [cycle[number - 1]] for number, name in enumerate(cycle)}
    parents |= {f"x{number}": chance.sample(cycle, 1) for number in range(5)}
    refused = refusal(dict(chance.sample(sorted(parents.items()), len(parents))), 100)
    assert refused.member == "depends_on"
    assert refused.reason.startswith("is part of a cycle: 'c")
    assert "x" not in refused.reason


@pytest.mark.parametrize(
    ("parents", "position", "member", "parent"),
    [
        ({"a": ["b"]}, 0, "depends_on", 0),
        ({"a": [], "b": ["a", "a"]}, 1, "depends_on", 1),
        ({"a": ["a"]}, 0, "depends_on", 0),
        ({"a": [], "b": ["a"], "c": ["a"]}, 0, "name", None),
    ],
)
def test_a_refusal_names_the_job_and_the_entry(
    parents: dict[str, list[str]], position: int, member: str, parent: int | None
) -> None:
    refused = refusal(parents, 1)
    assert (refused.position, refused.member, refused.parent) == (position, member, parent)


def test_two_jobs_of_one_name_are_refused() -> None:
    with pytest.raises(GraphError, match="is also the name of job 0"):
        positions_of(["a", "a"], [[], []])


@pytest.mark.parametrize(
    ("failed", "cancelled", "is_at_rest", "state"),
    [
        (1, 1, False, WorkflowState.RUNNING),
        (1, 1, True, WorkflowState.FAILED),
        (0, 1, True, WorkflowState.CANCELLED),
        (0, 0, True, WorkflowState.SUCCEEDED),
    ],
)
def test_the_state_is_what_the_jobs_came_to(
    failed: int, cancelled: int, is_at_rest: bool, state: WorkflowState
) -> None:
    assert state_of(failed, cancelled, is_at_rest=is_at_rest) is state
