"""A database in a state that could mislead the planner, and the arguments of the statements whose plans are tested."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from integration.store.support.bulk_actions import step_arguments
from integration.store.support.storage import Claimer, Storage, old_period, results

from common.store.connection.statement import Statement, array_literal
from common.store.jobs import claims, deadlines, failures, running_keys
from common.store.queues import queue_state
from common.store.workers import leases
from common.store.workers.low_water_marks import NIL_UUID

PARTITIONS, CLAIMED, COUNT_LIMIT = 30, 100, 1_000
#: `new`: never had jobs; `drained`: had many; `just filled`: has many that the planner does not know; `large`: knows.
EMPTY, FILLED = ["new", "drained"], ["just filled", "large"]


@dataclass
class PlanDatabase:
    """A database in one of these states, with the arguments of each statement."""

    storage: Storage
    claimer: Claimer

    def fill(self, rows: int, since: str = "timestamptz '2026-01-01 00:00:00+00'") -> None:
        """Store a backlog."""
        self.storage.fill(rows, f"{since} + row_number() OVER () * interval '1 us'")

    def arguments(self) -> dict[Statement, Sequence[object]]:
        """Claim a batch, leave three strays, and return the arguments of each statement in that state."""
        jobs = self.claimer.claim(CLAIMED)
        self.claimer.renew()
        self.storage.rows(
            """UPDATE live SET claimable_at = '2025-12-31'
               WHERE id IN (SELECT id FROM live WHERE worker IS NULL ORDER BY id LIMIT 3)"""
        )
        settled = results(jobs).arguments()
        errors, usage = json.dumps(["error"] * len(jobs)), ([0.1] * len(jobs), [0.1] * len(jobs), [64.0] * len(jobs))
        held = (self.claimer.id, *settled[:2])
        marks, job_id = self.claimer.marks, jobs[0].id if jobs else NIL_UUID
        positions = claims._PRIORITY_ARRAY, array_literal(marks.claimable_at.values()), array_literal(marks.id.values())
        return {
            claims.SETTLE_AND_CLAIM: (self.claimer.id, *settled, "default", *positions, CLAIMED),
            claims.SETTLE: (self.claimer.id, *settled),
            failures.SETTLED_BEFORE: held,
            failures.LOCK: held,
            failures.FAIL: (*held, errors, errors, errors, *usage),
            failures.RETRY_OR_RELEASE: (
                *held,
                errors,
                errors,
                errors,
                *usage,
                [0.0] * len(jobs),
                ["error"] * len(jobs),
                [False] * len(jobs),
            ),
            failures.HELD_JOBS: (self.claimer.id, COUNT_LIMIT),
            leases.RENEW: (30, [self.claimer.id], [1], "[{}]", "[{}]", "{NULL}", "[{}]"),
            leases.EXPIRED: (100,),
            leases.ASKED_TO_STOP: (*settled[:2], [self.claimer.id] * len(jobs)),
            leases.TAKE_OVER: (self.claimer.id, [self.claimer.id], *settled[:2]),
            leases.PROGRESS: (self.claimer.id, job_id, 1, 0.5, None),
            **step_arguments(
                [row[0] for row in self.storage.rows("SELECT id::text FROM live ORDER BY id DESC LIMIT %s", (CLAIMED,))]
            ),
            queue_state.DUE: (9,),
            queue_state.REQUEUE_STRAYS: (None, 10_000),
            queue_state.RAISE_STARVED: (10**6, 100),
            queue_state.UNRUNNABLE: (COUNT_LIMIT,),
            deadlines.FAIL_EXPIRED: (COUNT_LIMIT, "deadline_exceeded", "late"),
            claims.READ_INPUT: (job_id,),
            running_keys.LOCK: (1, "key", job_id),
            running_keys.TAKE: (1, "key", job_id),
            running_keys.PARK: (*held, running_keys.MAX_PARKED),
            running_keys.WAKE: ("{1}", ["key"], 100),
            running_keys.WAKE_IN_TURN: (*running_keys.NO_GROUP, 100),
            queue_state.DEPTH: (COUNT_LIMIT,),
            queue_state.PARKED: (COUNT_LIMIT,),
            queue_state.OLDEST_DUE: (9,),
        }


def plan_database_in(state: str, storage: Storage) -> PlanDatabase:
    """Return a database of thirty partitions in a state, without autovacuum."""
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    partitions = storage.value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'jobs'::regclass")
    for days_ago in range(3, 3 + PARTITIONS - partitions):
        old_period(storage, days_ago)
    database = PlanDatabase(storage, storage.claimer())
    if state == "drained":
        storage.drain()
    elif state == "just filled":
        database.fill(20_000)
    elif state == "large":
        database.fill(50_000)
        storage.rows("ANALYZE")
    return database
