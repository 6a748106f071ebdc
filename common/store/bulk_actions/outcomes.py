"""The states of the jobs that a bulk action has changed, and what its undo would do now."""

from dataclasses import dataclass
from uuid import UUID

import orjson
from sqlalchemy import Connection

from common.domain.bulk_actions import WAITING, ActionKind, Counts, SkipReason
from common.domain.states import State
from common.store.bulk_actions import lifecycle
from common.store.bulk_actions.previews import KEY_IS_HELD
from common.store.connection.statement import SET_INDEX_SCAN_PLANS
from common.store.jobs.fragments import HAS_INPUT, ORIGINAL_RUN

_WAITING = ", ".join(f"'{state}'" for state in sorted(WAITING))
_NEEDS_KEY = f"""(j.unique_while = 'both'
    OR (j.unique_while = 'waiting' AND s.attempt = 0 AND {ORIGINAL_RUN.format(row="s")}))"""
# Each condition is that of the undo's own statement, without its locks. $3 is the limit, $4 the kind of the action.
_OUTCOMES = f"""
WITH changed AS MATERIALIZED (
    SELECT id, run, claimable_at FROM bulk_action_jobs WHERE bulk_action = $1 AND tenant = $2 ORDER BY id LIMIT $3),
states AS (
    SELECT s.status,
           CASE WHEN s.id IS NULL THEN '{SkipReason.REMOVED}'
                WHEN $4::text = '{ActionKind.RETRY}'
                THEN CASE WHEN s.run <> c.run OR s.attempt > 0 OR s.status NOT IN ({_WAITING})
                          THEN '{SkipReason.MOVED_ON}' END
                WHEN $4 = '{ActionKind.REPRIORITISE}'
                THEN CASE WHEN s.run <> c.run OR s.status NOT IN ({_WAITING}) OR s.priority <> $5::int
                          THEN '{SkipReason.MOVED_ON}' END
                WHEN c.claimable_at IS NULL THEN '{SkipReason.WAS_RUNNING}'
                WHEN s.run <> c.run OR s.status <> '{State.CANCELLED}' THEN '{SkipReason.MOVED_ON}'
                WHEN NOT {HAS_INPUT.format(id="c.id")} THEN '{SkipReason.INPUT_REMOVED}'
                WHEN EXISTS (SELECT FROM jobs j WHERE j.id = c.id AND {_NEEDS_KEY}
                             AND {KEY_IS_HELD.format(id="c.id", tenant="$2", key="j.unique_key")} OFFSET 0)
                THEN '{SkipReason.UNIQUE_CONFLICT}' END AS reason
    FROM changed c
    LEFT JOIN LATERAL (
        SELECT id, status, run, attempt, priority FROM job_states v WHERE v.id = c.id AND v.tenant = $2 OFFSET 0) s
      ON true)
SELECT (SELECT count(*) FROM changed) AS counted,
       (SELECT count(*) FROM states WHERE reason IS NULL) AS undoable,
       (SELECT coalesce(json_object_agg(status, number), '{{}}') FROM (
           SELECT status, count(*) AS number FROM states WHERE status IS NOT NULL GROUP BY status) s)::text AS states,
       (SELECT coalesce(json_object_agg(reason, number), '{{}}') FROM (
           SELECT reason, count(*) AS number FROM states WHERE reason IS NOT NULL GROUP BY reason) r)::text AS reasons
"""


@dataclass(frozen=True, slots=True)
class ChangedJobs:
    """The jobs that an action has changed and that its undo has not processed."""

    changed: int  #: all of them
    counted: int  #: of these, the oldest ones, which the other numbers are of
    states: Counts  #: jobs by their state; those that retention has deleted are in none
    undoable: int  #: jobs whose change an undo would revert now
    not_undoable: Counts  #: the other ones, by the reason

    @property
    def is_complete(self) -> bool:
        """True if all jobs are counted."""
        return self.counted == self.changed


def read(connection: Connection, tenant: int, bulk_action_id: UUID, limit: int) -> ChangedJobs:
    """Return what became of the jobs of a tenant's action. Reads the states of at most `limit` jobs, the oldest ones.

    Needs a transaction. Raises BulkActionNotFound.
    """
    action = lifecycle.read(connection, tenant, bulk_action_id)
    connection.exec_driver_sql(SET_INDEX_SCAN_PLANS)
    arguments = (bulk_action_id, tenant, limit, action["kind"], action["priority"])
    row = connection.exec_driver_sql(_OUTCOMES, arguments).mappings().one()
    processed = action["undone"] + sum(orjson.loads(action["not_undone"]).values())
    return ChangedJobs(
        max(row["counted"], action["done"] - processed),
        row["counted"],
        orjson.loads(row["states"]),
        row["undoable"],
        orjson.loads(row["reasons"]),
    )
