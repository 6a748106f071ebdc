"""Unique keys that are held while a job runs: jobs with the same key run one after the other.

Jobs that have to wait for their key are parked: their position in the queue is infinity, so no claim reads them. The
release of the key wakes the first one. Nothing is counted: whether a job may be woken is read from the rows. A process
that frees a key or parks a job asks that after its commit, so the later one of two sees both. If it dies before it has
asked, the controller wakes the job: it asks for all parked jobs in turn.

Each tenant has its own keys. Jobs of a key that the same workers can claim are a group: those of one queue and one
`needs`. Of each group one job is in the queue, so that a job which no worker can run holds up no others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.domain.job import RunningKey
from common.domain.tenancy.queue_policies import ALL_TENANTS
from common.store.connection.caller import for_caller
from common.store.connection.statement import Statement, array_literal

if TYPE_CHECKING:  # with them come drivers: the API does without psycopg2, the worker without asyncpg
    import asyncpg

    from common.domain.job import ClaimedJob
    from common.store.connection.psycopg2_session import WorkerConnection


RUNNING_PREFIX = "while running: "  # keeps these keys apart from keys that waiting jobs hold
MAX_PARKED = 10_000  # jobs that have not been claimed, parked in one statement: about 0.2 s
MAX_WOKEN_GROUPS = 1_000  # of one key
Group = tuple[int, str, str, str]  #: tenant, key, queue, needs
NO_GROUP: Group = (0, "", "", "")  # before the first one

# LOCK locks the row, whichever job holds the key. TAKE is a separate statement, so its snapshot is of after the lock.
LOCK = Statement(
    "lock_running_key",
    "int, text, uuid",
    """
    INSERT INTO unique_keys AS u (tenant, key, id) VALUES ($1, $2, $3)
    ON CONFLICT (tenant, key) DO UPDATE SET key = excluded.key RETURNING u.id
    """,
)
TAKE = Statement(
    "take_running_key",
    "int, text, uuid",
    """
    UPDATE unique_keys SET id = $3 WHERE tenant = $1 AND key = $2
      AND (id = $3 OR NOT EXISTS (SELECT FROM live l WHERE l.id = unique_keys.id AND l.worker IS NOT NULL))
    RETURNING true
    """,
)

#: True if a live row l is parked. A job that waits for parents is not: it has no `due_since`.
PARKED, NOT_PARKED = "l.claimable_at = 'infinity' AND l.due_since IS NOT NULL", "l.claimable_at < 'infinity'"

#: True if a running job holds the key. Evaluates the condition of TAKE.
HELD = f"""EXISTS (
    SELECT FROM unique_keys u JOIN live h ON h.id = u.id
    WHERE u.tenant = {{of}}.tenant AND u.key = '{RUNNING_PREFIX}' || {{of}}.running_key AND h.worker IS NOT NULL)"""

_GROUP = """l.tenant = {group}.tenant AND l.running_key = {group}.running_key
          AND l.queue = {group}.queue AND l.needs = {group}.needs"""
# True if a job of the group is claimed, or due in the queue, and would be claimed before those of the priority.
_IN_QUEUE = f"""EXISTS (
    SELECT FROM generate_series(0, {{group}}.priority) AS p(priority)
    CROSS JOIN LATERAL (
        SELECT FROM live l
        WHERE {_GROUP} AND l.priority = p.priority AND l.claimable_at <= now() AND {NOT_PARKED} LIMIT 1) first)"""
_PARKED_BEFORE = f"""EXISTS (
    SELECT FROM generate_series(0, {{group}}.priority) AS p(priority)
    CROSS JOIN LATERAL (
        SELECT FROM live l
        WHERE {_GROUP} AND l.priority = p.priority AND {PARKED} LIMIT 1) first)"""

#: True if a new job has to wait for its key: of a row with tenant, running_key, queue, needs, priority, is_due, and
#: its place among the due jobs of its group in the statement.
MUST_WAIT = f"""(
    d.running_key IS NOT NULL AND d.is_due
    AND (d.place > 1 OR {HELD.format(of="d")}
         OR {_IN_QUEUE.format(group="d")} OR {_PARKED_BEFORE.format(group="d")}))"""

#: True if a new job is one more than its concurrency key lets into the queue, by its place as above. Not exact beside
#: others: who is let in too many is parked by its claim, and who is parked too soon is woken after the commit. The API
#: does not see the policies of the operators: the claim alone keeps to these.
MUST_WAIT_FOR_PLACE = f"""(
    d.concurrency_key IS NOT NULL AND d.is_due
    AND EXISTS (
        SELECT FROM (
            SELECT min(least(p.key_concurrency, ceil(p.key_burst)))::bigint AS most FROM queue_policies p
            WHERE p.queue = d.queue AND p.tenant IN ({ALL_TENANTS}, d.tenant) AND p.in_force) m
        WHERE m.most < d.place + (
            SELECT count(*) FROM (
                SELECT FROM live l
                WHERE l.tenant = d.tenant AND l.queue = d.queue AND l.concurrency_key = d.concurrency_key
                  AND l.needs = d.needs AND l.claimable_at < 'infinity'
                LIMIT m.most) open)))"""


@dataclass(frozen=True, slots=True)
class Turns:
    """Groups of parked jobs in the order of an index: some are looked at, and the next time those behind them."""

    columns: Sequence[str]  #: that identify a group
    place: str  #: SQL of these columns of the group behind which a turn begins
    limit: str  #: the parameter with the most groups of a turn
    next_group: str  #: SQL of the first group `after` which a condition is true
    after: str  #: that condition, of the groups behind a `group`

    def statement(self, name: str, types: str, wake: str) -> Statement:
        """Return the statement of a turn. `wake`: CTEs that wake jobs of the groups g, and return them as `woken`."""
        first, following = (self.next_group.format(after=self.after.format(group=of)) for of in ("place", "groups"))
        backwards = ", ".join(f"{column} DESC" for column in self.columns)
        sql = f"""
    WITH RECURSIVE groups AS (
        SELECT first.* FROM (SELECT {self.place}) place CROSS JOIN LATERAL ({first}) first
        UNION ALL SELECT next.* FROM groups CROSS JOIN LATERAL ({following}) next),
    g AS MATERIALIZED (SELECT * FROM groups LIMIT {self.limit}),
    {wake}
    SELECT (SELECT count(*) FROM woken), (SELECT count(*) FROM g), last.* FROM (VALUES (1)) AS single(n)
    LEFT JOIN (SELECT * FROM g ORDER BY {backwards} LIMIT 1) last ON true
    """
        return Statement(name, types, sql)


def park_statement(name: str, *, column: str, key: str, job: str, due: str) -> Statement:
    """Return the statement that parks claimed jobs whose keys are held.

    It reverses the claim, because waiting for the key is no attempt. A job that was asked to stop meanwhile ends
    CANCELLED. Due jobs of the same groups that no worker has claimed are parked with them: each would meet the held key
    in turn. `column`: of `live`, for the key. `key`: SQL of the key of a job j, with the name that `mine` gives it.
    `job`: SQL of that and of the operation of j. `due`: SQL of the ids of the due jobs of the groups of `mine`.
    """
    return Statement(
        name,
        "bigint, uuid[], smallint[], bigint",
        f"""
    WITH mine AS MATERIALIZED (
        SELECT l.*, {key}, coalesce(l.needs, j.operation) AS needed
        FROM unnest($2, $3) AS d(id, attempt) JOIN live l ON l.id = d.id
        CROSS JOIN LATERAL ({job} OFFSET 0) j
        WHERE l.attempt = d.attempt AND l.worker = $1 ORDER BY l.id FOR UPDATE OF l),
    gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE cancel_requested))),
    cancelled AS (
        INSERT INTO outcomes (id, tenant, run, attempt, released, rev, status)
        SELECT id, tenant, run, attempt - 1, released, rev + 1, 'CANCELLED' FROM mine WHERE cancel_requested),
    due AS MATERIALIZED ({due} LIMIT $4),
    with_mine AS (
        UPDATE live SET due_since = coalesce(due_since, claimable_at), claimable_at = 'infinity'
        WHERE id = ANY (ARRAY(SELECT id FROM due)))
    UPDATE live
    SET worker = NULL, started_at = NULL, attempt = mine.attempt - 1, rev = mine.rev + 1,
        due_since = coalesce(mine.due_since, mine.claimable_at), claimable_at = 'infinity',
        {column} = mine.{key.rpartition(" ")[2].rpartition(".")[2]}, needs = mine.needed
    FROM mine WHERE live.id = mine.id AND NOT mine.cancel_requested RETURNING live.id::text
    """,
    )


PARK = park_statement(
    "park",
    column="running_key",
    key="j.unique_key",
    job="SELECT unique_key, operation FROM jobs WHERE jobs.id = d.id AND unique_while = 'running'",
    due=f"""
        SELECT first.id
        FROM (SELECT DISTINCT tenant, unique_key AS running_key, queue, needed AS needs FROM mine) g
        CROSS JOIN generate_series(0, 9) AS p(priority)
        CROSS JOIN LATERAL (
            SELECT l.id FROM live l
            WHERE {_GROUP.format(group="g")} AND l.priority = p.priority AND l.claimable_at <= now() AND {NOT_PARKED}
              AND l.worker IS NULL
            LIMIT $4 FOR UPDATE SKIP LOCKED) first""",
)

# The next group in the order of the index; an index scan of one row.
_NEXT_GROUP = f"""
    SELECT l.tenant, l.running_key, l.queue, l.needs FROM live l
    WHERE {PARKED} AND {{after}}
    ORDER BY l.tenant, l.running_key, l.queue, l.needs LIMIT 1"""
_AFTER = """(l.tenant, l.running_key, l.queue, l.needs)
      > ({group}.tenant, {group}.running_key, {group}.queue, {group}.needs)"""
_AFTER_IN_KEY = """l.tenant = groups.tenant AND l.running_key = groups.running_key
      AND (l.queue, l.needs) > (groups.queue, groups.needs)"""
_FIRST_PARKED = f"""
    SELECT l.id, l.priority FROM live l
    WHERE {_GROUP.format(group="g")} AND {PARKED}
    ORDER BY l.priority, l.due_since, l.id LIMIT 1"""
# Of each of the groups g whose key is free, and of which no job is ahead in the queue, the first job is woken. Two that
# wake the same group at once may wake two jobs: the second one is parked again by its claim. `claimable_at` is now(),
# so that a claim in the same transaction finds the job.
_WAKE = f"""
    free AS MATERIALIZED (
        SELECT tenant, running_key, queue, needs
        FROM (SELECT g.*, first.priority FROM g CROSS JOIN LATERAL ({_FIRST_PARKED}) first) t
        WHERE NOT {HELD.format(of="t")} AND NOT {_IN_QUEUE.format(group="t")}),
    next AS MATERIALIZED (
        SELECT first.id FROM free g CROSS JOIN LATERAL ({_FIRST_PARKED} FOR UPDATE SKIP LOCKED) first),
    woken AS (
        UPDATE live SET claimable_at = now(), rev = rev + 1 WHERE id = ANY (ARRAY(SELECT id FROM next))
        RETURNING queue)
"""
_WITH_KEYS = f"""
    WITH RECURSIVE groups AS (
        SELECT first.*
        FROM (SELECT * FROM unnest($1::int[], $2::text[]) AS k(tenant, running_key)
              WHERE NOT {HELD.format(of="k")} OFFSET 0) k
        CROSS JOIN LATERAL (
            {_NEXT_GROUP.format(after="l.tenant = k.tenant AND l.running_key = k.running_key")}) first
        UNION ALL
        SELECT next.* FROM groups CROSS JOIN LATERAL (
            {_NEXT_GROUP.format(after=_AFTER_IN_KEY)}) next),
    g AS MATERIALIZED (SELECT * FROM groups LIMIT $3),
    {_WAKE}
"""
_WOKEN = "SELECT queue FROM woken"

WAKE = Statement("wake", "int[], text[], bigint", f"{_WITH_KEYS} {_WOKEN}")
_WAKE_OF_CALLER = f"{_WITH_KEYS} {for_caller(_WOKEN)}"
_TURNS = Turns(
    ("tenant", "running_key", "queue", "needs"),
    place="$1 AS tenant, $2 AS running_key, $3 AS queue, $4 AS needs",
    limit="$5",
    next_group=_NEXT_GROUP,
    after=_AFTER,
)
WAKE_IN_TURN = _TURNS.statement("wake_in_turn", "int, text, text, text, bigint", _WAKE)


def take(connection: "WorkerConnection", worker: int, job: "ClaimedJob", key: RunningKey) -> bool:
    """Take the key for a job that is about to run. Return False if another running job holds it: the job is parked."""
    with connection.transaction():
        arguments = (key.tenant, RUNNING_PREFIX + key.key, job.id)
        connection.run(LOCK, arguments)
        if connection.run(TAKE, arguments):
            return True
    park(connection, worker, [job])
    wake(connection, [key])
    return False


def park(connection: "WorkerConnection", worker: int, jobs: "Sequence[ClaimedJob]") -> None:
    """Park claimed jobs whose keys are held, and the due jobs of their groups. The claims are reversed. Atomic.

    The caller then asks for the keys (`wake`), unless it holds them itself.
    """
    ids, attempts = array_literal(job.id for job in jobs), array_literal(job.attempt for job in jobs)
    connection.run(PARK, (worker, ids, attempts, MAX_PARKED))


def share(
    connection: "WorkerConnection", worker: int, freed: Iterable[RunningKey], jobs: "Sequence[ClaimedJob]"
) -> "list[ClaimedJob]":
    """Park all but the first claimed job of each key. Return the others, and those without a key.

    Wakes parked jobs of freed keys of which no job was claimed.
    """
    ready, rivals, keys = list["ClaimedJob"](), list["ClaimedJob"](), set[RunningKey]()
    for job in jobs:
        if job.running_key is None or job.running_key not in keys:
            ready.append(job)
        else:
            rivals.append(job)
        if job.running_key is not None:
            keys.add(job.running_key)
    if rivals:
        park(connection, worker, rivals)
    if left := set(freed) - keys:
        wake(connection, left)
    return ready


def wake(connection: "WorkerConnection", keys: Iterable[RunningKey]) -> list[str]:
    """Wake the first parked job of each group of the keys that are free; return the queues of the woken ones.

    In the transaction that frees the keys, a claim that follows may take the woken jobs. To be called again after the
    commit for keys of which no job was claimed: another transaction may have parked a job meanwhile.
    """
    return [row[0] for row in connection.run(WAKE, (*_arrays(keys), MAX_WOKEN_GROUPS))]


async def wake_after_insert(connection: "asyncpg.Connection", tenant: int, keys: Iterable[RunningKey]) -> None:
    """Do the same for keys of new jobs of a tenant. To be called after their commit."""
    names = sorted(key.key for key in keys if key.tenant == tenant)
    await connection.fetch(_WAKE_OF_CALLER, [tenant] * len(names), names, MAX_WOKEN_GROUPS)


def wake_in_turn(connection: "WorkerConnection", after: Group, limit: int) -> tuple[int, Group]:
    """Wake parked jobs of up to `limit` groups after a group, as `wake` does.

    Return how many, and the last group; NO_GROUP once all have had their turn.
    """
    woken, groups, *last = connection.run(WAKE_IN_TURN, (*after, limit))[0]
    return int(woken), NO_GROUP if groups < limit else (last[0], last[1], last[2], last[3])


def _arrays(keys: Iterable[RunningKey]) -> tuple[str, list[str]]:
    """Return tenants and names of keys in their order."""
    ordered = sorted(keys)
    return array_literal(key.tenant for key in ordered), [key.key for key in ordered]
