"""Decides about jobs that wait for others. Anybody may ask at any time about any jobs: the rows say it.

A process that ends a job asks after its commit, so of two parents that end at the same time the later one sees both. If
it dies before it has asked, the controller asks for all waiting jobs in turn.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.store.connection.statement import Statement, array_literal
from common.store.dependencies.fragments import BLOCKED

if TYPE_CHECKING:  # it imports psycopg2, which the API does not need
    from common.store.connection.psycopg2_session import WorkerConnection

PARENT_FAILED = "parent_failed"  #: the type of the error of a job whose policy is `fail`
MAX_PROPAGATED = 10_000  # jobs whose end is passed on by one call; the controller finds the rest

# First what is cheap: in the range of ids from the first to the last parent nobody has failed, the last parent lives,
# nobody lives. Only else each parent is looked up. Waiting rows are locked in the order of their ids, and only those
# that are changed.
_RESOLVE = f"""
    WITH waiting AS MATERIALIZED (
        SELECT l.id, l.tenant, j.on_parent_failure AS policy, j.parents || added.parents AS parents,
               added.parents IS NOT NULL AS has_added, j.parents[cardinality(j.parents)] AS first, j.parents[1] AS last
        FROM unnest($1) AS d(id)
        CROSS JOIN LATERAL (SELECT l.id, l.tenant FROM live l WHERE l.id = d.id AND {BLOCKED} OFFSET 0) l
        CROSS JOIN LATERAL (SELECT parents, on_parent_failure FROM jobs WHERE jobs.id = d.id OFFSET 0) j
        CROSS JOIN LATERAL (
            SELECT array_agg(parent.id) AS parents
            FROM added_parents a CROSS JOIN LATERAL unnest(a.parents) AS parent(id) WHERE a.child = d.id) added),
    judged AS MATERIALIZED (
        SELECT w.id, w.policy,
               CASE WHEN w.policy <> 'run' AND (w.has_added OR EXISTS (
                        SELECT FROM outcomes o
                        WHERE o.tenant = w.tenant AND o.id >= w.first AND o.id <= w.last AND o.status <> 'SUCCESS'))
                    THEN (SELECT parent.id FROM unnest(w.parents) AS parent(id)
                          CROSS JOIN LATERAL (
                              SELECT FROM outcomes o WHERE o.id = parent.id AND o.status <> 'SUCCESS'
                                AND NOT EXISTS (SELECT FROM outcomes n WHERE n.id = parent.id AND n.run > o.run)
                              OFFSET 0) bad
                          WHERE NOT EXISTS (SELECT FROM live a WHERE a.id = parent.id) LIMIT 1) END AS failed,
               coalesce(
                   (SELECT a.id FROM live a WHERE a.id = w.last),
                   CASE WHEN w.has_added
                          OR EXISTS (SELECT FROM live a WHERE a.id >= w.first AND a.id <= w.last)
                        THEN (SELECT a.id FROM unnest(w.parents) AS parent(id) JOIN live a ON a.id = parent.id
                              LIMIT 1) END) AS alive
        FROM waiting w),
    verdicts AS MATERIALIZED (
        SELECT id, alive, failed, CASE WHEN failed IS NOT NULL THEN policy WHEN alive IS NULL THEN 'run' END AS verdict
        FROM judged),
    mine AS MATERIALIZED (
        SELECT l.*, v.verdict, v.failed FROM verdicts v JOIN live l ON l.id = v.id
        WHERE v.verdict IS NOT NULL AND {BLOCKED} ORDER BY l.id FOR UPDATE OF l),
    gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE verdict <> 'run'))),
    ended AS (
        INSERT INTO outcomes (id, tenant, run, attempt, released, rev, status, error_type, error_text)
        SELECT id, tenant, run, attempt, released, rev + 1, CASE verdict WHEN 'fail' THEN 'FAILED' ELSE 'CANCELLED' END,
               CASE verdict WHEN 'fail' THEN '{PARENT_FAILED}' END,
               CASE verdict WHEN 'fail' THEN 'The job ' || failed || ', for which it waits, has not succeeded.' END
        FROM mine WHERE verdict <> 'run'),
    unblocked AS (
        UPDATE live SET claimable_at = now(), rev = live.rev + 1
        WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE verdict = 'run')))
    SELECT id::text, verdict, queue, NULL FROM mine
    UNION ALL
    SELECT id::text, NULL, NULL, alive::text FROM verdicts WHERE verdict IS NULL
"""
RESOLVE = Statement("resolve", "uuid[]", _RESOLVE)
#: The same for the API, in a transaction in which a statement before it has set the tenant.
RESOLVE_OF_CALLER = _RESOLVE.replace("unnest($1)", "unnest($1::uuid[])")

# Which of the watched parents has ended: then its child is to be asked for.
GONE = Statement(
    "watched_gone",
    "uuid[], uuid[]",
    """
    SELECT w.child::text FROM unnest($1, $2) AS w(child, parent)
    WHERE NOT EXISTS (SELECT FROM live l WHERE l.id = w.parent)
    """,
)
_HEIRS = """
    SELECT DISTINCT heir.id::text FROM unnest($1) AS d(id)
    CROSS JOIN LATERAL (SELECT children, joins FROM jobs WHERE jobs.id = d.id OFFSET 0) j
    CROSS JOIN LATERAL unnest(j.children || j.joins) AS heir(id)
"""
HEIRS = Statement("heirs", "uuid[]", _HEIRS)
HEIRS_OF_CALLER = _HEIRS.replace("unnest($1)", "unnest($1::uuid[])")


@dataclass(slots=True)
class Resolved:
    """The decisions about jobs that waited."""

    unblocked: dict[str, int] = field(default_factory=dict)  #: jobs that may run now, by queue
    ended: list[str] = field(default_factory=list)  #: jobs that ended FAILED or CANCELLED
    watched: dict[str, str] = field(default_factory=dict)  #: by job that still waits: a parent that has not ended


def resolve(connection: "WorkerConnection", ids: Iterable[str]) -> Resolved:
    """Decide about jobs that wait, and about those that wait for the ones that this ends. To be called after commits.

    Each step is a transaction. What is more than MAX_PROPAGATED is left to the controller.
    """
    resolved = Resolved()
    wanted, asked = list(ids), 0
    while wanted:
        ended_before = len(resolved.ended)
        for job_id, verdict, queue, alive in connection.run(RESOLVE, (array_literal(wanted),)):
            if verdict is None:
                resolved.watched[job_id] = alive
            elif verdict == "run":
                resolved.unblocked[queue] = resolved.unblocked.get(queue, 0) + 1
            else:
                resolved.ended.append(job_id)
        asked += len(wanted)
        ended = resolved.ended[ended_before:]
        wanted = heirs(connection, ended) if ended and asked < MAX_PROPAGATED else []
    return resolved


def heirs(connection: "WorkerConnection", ids: Iterable[str]) -> list[str]:
    """Return the jobs that wait, or have waited, for these."""
    return [row[0] for row in connection.run(HEIRS, (array_literal(ids),))]


def gone(connection: "WorkerConnection", watched: Mapping[str, str]) -> list[str]:
    """Return the jobs of `watched` whose watched parents have ended."""
    arguments = array_literal(watched), array_literal(watched.values())
    return [row[0] for row in connection.run(GONE, arguments)]
