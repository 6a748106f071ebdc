"""Workflows that clients submit, and their jobs as they are stored."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rig.system import Database

from faults.jobs import SentJob, request_body

POLICIES = ("fail", "skip", "run")
MAX_PARENTS = 3


@dataclass(frozen=True, slots=True)
class StoredNode:
    """A job that has waited for others."""

    parents: Sequence[str]  #: ids
    on_parent_failure: str


def workflow_body(sent: Sequence[SentJob], chance: random.Random) -> dict[str, Any]:
    """Return the body of a request that submits these jobs as a workflow: a fan with a join, or a random graph."""
    fan = chance.random() < 0.5
    jobs = []
    for number, job in enumerate(sent):
        if not fan:
            parents = chance.sample(range(number), min(number, chance.randint(0, MAX_PARENTS)))
        elif number in (0, len(sent) - 1):
            parents = list(range(1, number))
        else:
            parents = [0]
        jobs.append(
            request_body(job)
            | {"name": f"j{number}", "depends_on": [f"j{parent}" for parent in parents]}
            | {"on_parent_failure": chance.choice(POLICIES)}
        )
    chance.shuffle(jobs)
    return {"jobs": jobs}


def in_order(body: Mapping[str, Any], sent: Sequence[SentJob]) -> tuple[SentJob, ...]:
    """Return the jobs in the order in which the body has them."""
    return tuple(sent[int(job["name"].removeprefix("j"))] for job in body["jobs"])


def stored_nodes(database: Database) -> dict[str, StoredNode]:
    """Return the jobs that have waited for others, by id."""
    return {
        job_id: StoredNode(parents, policy)
        for job_id, parents, policy in database.rows(
            "SELECT id::text, parents::text[], on_parent_failure FROM jobs WHERE parents IS NOT NULL"
        )
    }
