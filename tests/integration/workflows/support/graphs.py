"""Graphs of any shape, and the check that each job ran when its parents had ended as its policy asks."""

import random
from typing import Any

from rig.system import System

Job = dict[str, Any]
POLICIES = ("fail", "skip", "run")


def job(name: str, parents: list[str], chance: random.Random, operation: str, **step_input: Any) -> Job:
    """Return a job of a workflow with a policy by chance."""
    return {
        "name": name,
        "depends_on": parents,
        "on_parent_failure": chance.choice(POLICIES),
        "operation": operation,
        "input": step_input,
    }


def graph(chance: random.Random, operations: tuple[str, ...] = ("flow_plain",), failing: float = 0.05) -> list[Job]:
    """Return a fan, a chain, diamonds, layers, or a random graph. Some jobs fail."""
    parents = list[list[int]]()
    match chance.choice(("fan", "chain", "diamonds", "layers", "random")):
        case "fan":
            size = chance.randint(2, 40)
            parents = [[], *([0] for _ in range(size)), list(range(1, size + 1))]
        case "chain":
            parents = [[], *([number] for number in range(chance.randint(2, 15)))]
        case "diamonds":
            parents = [[]]
            for _ in range(chance.randint(1, 6)):
                last = len(parents) - 1
                parents += [[last], [last], [last + 1, last + 2]]
        case "layers":
            width, depth = chance.randint(2, 6), chance.randint(2, 5)
            parents = [[] for _ in range(width)]
            for layer in range(depth):
                parents += [list(range(layer * width, (layer + 1) * width)) for _ in range(width)]
        case _:
            parents = [
                chance.sample(range(number), min(number, chance.randint(0, 3)))
                for number in range(chance.randint(5, 40))
            ]
    return [
        job(
            f"j{number}",
            [f"j{parent}" for parent in of_job],
            chance,
            chance.choice(operations),
            value=number,
            fails=chance.random() < failing,
        )
        for number, of_job in enumerate(parents)
    ]


#: Of each job: the newest outcome, its policy, and what its parents came to, those that were added later included.
CHECK = """
WITH outcome AS (SELECT DISTINCT ON (id) * FROM outcomes ORDER BY id, run DESC),
parents AS (
    SELECT j.id AS child, parent.id FROM jobs j CROSS JOIN unnest(j.parents) AS parent(id)
    UNION SELECT a.child, parent.id FROM added_parents a CROSS JOIN unnest(a.parents) AS parent(id))
SELECT j.id::text, j.node, j.on_parent_failure, o.status, o.started_at, o.finished_at, o.error_type,
       count(p.id) AS parents, count(p.id) FILTER (WHERE po.status <> 'SUCCESS') AS failed,
       count(p.id) FILTER (WHERE po.id IS NULL) AS unfinished, max(po.finished_at) AS parents_ended_at
FROM jobs j
LEFT JOIN outcome o ON o.id = j.id
LEFT JOIN parents p ON p.child = j.id
LEFT JOIN outcome po ON po.id = p.id
WHERE j.node IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7
"""


def violations(system: System) -> list[str]:
    """Return what is wrong with the jobs of workflows, all of which have ended; empty: nothing."""
    found = list[str]()
    for row in system.database.rows(CHECK):
        job_id, node, policy, status, started_at, _, error, parents, failed, unfinished, ended_at = row
        told = f"{node} {job_id} ({policy}, {status})"
        if status is None:
            found.append(f"{told} is left")
        elif not parents:
            continue
        elif started_at is not None and unfinished:
            found.append(f"{told} ran although {unfinished} parents have not ended")
        elif started_at is not None and started_at < ended_at:
            found.append(f"{told} ran before its last parent ended")
        elif started_at is not None and failed and policy != "run":
            found.append(f"{told} ran although {failed} parents have failed")
        elif error == "parent_failed" and (policy != "fail" or not failed):
            found.append(f"{told} fell without a cause")
    return found
