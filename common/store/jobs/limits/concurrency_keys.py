"""Concurrency keys: of the jobs of a queue with one key no more run at once, or start a second, than its policy allows.

The policy of the queue has the limits (`key_concurrency`, `key_rate`); without one the keys mean nothing. A claim takes
jobs whatever their key. Their process then asks for a place of each key: it locks the rows of the keys, and in a later
statement, whose snapshot is of after the locks, the holders of each. A holder counts while its job is claimed, so
nothing has to be given back. Jobs that get no place are parked as those that wait for a unique key are, together with
the due jobs of their group, and no claim reads them. Who frees a place wakes the next ones, and the
controller asks in turn.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from common.domain.job import ConcurrencyKey
from common.domain.tenancy.queue_policies import ALL_TENANTS
from common.store.connection.caller import for_caller
from common.store.connection.statement import Statement, array_literal
from common.store.jobs.running_keys import MAX_PARKED, NOT_PARKED, PARKED, Turns, park_statement

if TYPE_CHECKING:  # with them come drivers: the API does without psycopg2, the worker without asyncpg
    import asyncpg

    from common.domain.job import ClaimedJob
    from common.store.connection.psycopg2_session import WorkerConnection

MAX_WOKEN = 1_000  #: of one group at once
Group = tuple[int, str, str, str]  #: tenant, queue, key, needs
NO_GROUP: Group = (0, "", "", "")  # before the first one

_LIMITS = f"""
    SELECT min(p.key_concurrency) AS most, min(p.key_rate) AS rate, min(p.key_burst) AS burst FROM queue_policies p
    WHERE p.queue = {{queue}} AND p.tenant IN ({ALL_TENANTS}, {{tenant}}) AND p.in_force"""
# Of a key k with its limits m. A key without a row, or whose rate was set later, has a full bucket.
_TOKENS = """least(m.burst, coalesce(
    k.tokens + m.rate * greatest(0, extract(epoch FROM clock_timestamp() - k.filled_at)), m.burst))"""
_GROUP = """l.tenant = {group}.tenant AND l.queue = {group}.queue AND l.concurrency_key = {group}.key
          AND l.needs = {group}.needs"""

LOCK = Statement(
    "lock_concurrency_keys",
    "text, int[], text[]",
    """
    INSERT INTO concurrency_keys AS k (queue, tenant, key)
    SELECT $1, d.tenant, d.key FROM (SELECT DISTINCT tenant, key FROM unnest($2, $3) AS d(tenant, key)) d
    ORDER BY d.tenant, d.key
    ON CONFLICT (tenant, queue, key) DO UPDATE SET key = excluded.key RETURNING 1
    """,
)
# The jobs in the order in which they get places. The LIMIT and the arrays keep a plan that was made for few keys from
# reading all of a queue.
TAKE = Statement(
    "take_places",
    "text, int[], text[], uuid[]",
    f"""
    WITH asked AS MATERIALIZED (
        SELECT d.*, row_number() OVER (PARTITION BY d.tenant, d.key ORDER BY d.number) AS place
        FROM ROWS FROM (unnest($2), unnest($3), unnest($4)) WITH ORDINALITY AS d(tenant, key, id, number)),
    state AS MATERIALIZED (
        SELECT k.tenant, k.key, m.most, m.rate, CASE WHEN m.rate IS NOT NULL THEN {_TOKENS} END AS tokens,
               ARRAY(SELECT l.id FROM live l
                     WHERE l.id = ANY (k.ids) AND l.worker IS NOT NULL AND l.id <> ALL ($4)) AS holders
        FROM (SELECT DISTINCT tenant, key FROM asked) a
        CROSS JOIN LATERAL (
            SELECT * FROM concurrency_keys WHERE queue = $1 AND tenant = a.tenant AND key = a.key LIMIT 1) k
        CROSS JOIN LATERAL ({_LIMITS.format(queue="$1", tenant="a.tenant")}) m),
    placed AS MATERIALIZED (
        SELECT asked.* FROM asked JOIN state s ON s.tenant = asked.tenant AND s.key = asked.key
        WHERE (s.most IS NULL OR asked.place <= s.most - cardinality(s.holders))
          AND (s.rate IS NULL OR asked.place <= floor(s.tokens))),
    changed AS (
        UPDATE concurrency_keys k
        SET ids = s.holders || t.ids, tokens = s.tokens - cardinality(t.ids), filled_at = clock_timestamp()
        FROM state s
        CROSS JOIN LATERAL (
            SELECT ARRAY(SELECT p.id FROM placed p WHERE p.tenant = s.tenant AND p.key = s.key) AS ids) t
        WHERE k.queue = $1 AND k.tenant = s.tenant AND k.key = s.key AND cardinality(t.ids) > 0
          AND k.tenant = ANY (ARRAY(SELECT tenant FROM asked)) AND k.key = ANY (ARRAY(SELECT key FROM asked)))
    SELECT id::text FROM placed
    """,
)
PARK = park_statement(
    "park_limited",
    column="concurrency_key",
    key="j.concurrency_key AS key",
    job="SELECT concurrency_key, operation FROM jobs WHERE jobs.id = d.id",
    due=f"""
        SELECT first.id
        FROM (SELECT DISTINCT tenant, queue, key, needed AS needs FROM mine) g
        CROSS JOIN LATERAL (
            SELECT l.id FROM live l
            WHERE {_GROUP.format(group="g")} AND l.claimable_at <= now() AND {NOT_PARKED} AND l.worker IS NULL
            LIMIT $4 FOR UPDATE SKIP LOCKED) first""",
)

_NEXT_GROUP = f"""
    SELECT l.tenant, l.queue, l.concurrency_key AS key, l.needs FROM live l
    WHERE l.concurrency_key IS NOT NULL AND {PARKED} AND {{after}}
    ORDER BY l.tenant, l.queue, l.concurrency_key, l.needs LIMIT 1"""
_AFTER = """(l.tenant, l.queue, l.concurrency_key, l.needs)
      > ({group}.tenant, {group}.queue, {group}.key, {group}.needs)"""
_OF_KEY = "l.tenant = k.tenant AND l.queue = k.queue AND l.concurrency_key = k.key"
_AFTER_IN_KEY = """l.tenant = groups.tenant AND l.queue = groups.queue AND l.concurrency_key = groups.key
      AND l.needs > groups.needs"""
# Of each group g as many jobs go as its key has places, less those of the group that are in the queue. If it lacks only
# a token, one goes at the time of the next token. Two that wake a key at once may wake too many: the claims park these.
_WAKE = f"""
    state AS MATERIALIZED (
        SELECT g.*, m.most, m.rate, t.tokens, h.holders,
               CASE WHEN t.tokens < 1 THEN now() + (1 - t.tokens) / m.rate * interval '1 s' END AS next_at
        FROM g
        CROSS JOIN LATERAL ({_LIMITS.format(queue="g.queue", tenant="g.tenant")}) m
        LEFT JOIN concurrency_keys k ON k.tenant = g.tenant AND k.queue = g.queue AND k.key = g.key
        CROSS JOIN LATERAL (SELECT CASE WHEN m.rate IS NOT NULL THEN {_TOKENS} END AS tokens) t
        CROSS JOIN LATERAL (
            SELECT ARRAY(SELECT l.id FROM live l WHERE l.id = ANY (k.ids) AND l.worker IS NOT NULL) AS holders) h),
    rooms AS MATERIALIZED (
        SELECT s.*, o.open, coalesce(s.most - cardinality(s.holders), $4) - o.open AS places
        FROM state s
        CROSS JOIN LATERAL (
            SELECT count(*) AS open
            FROM (SELECT FROM live l
                  WHERE {_GROUP.format(group="s")} AND {NOT_PARKED} AND l.id <> ALL (s.holders)
                    AND l.claimable_at <= coalesce(s.next_at, now())
                  LIMIT least($4, s.most, ceil(s.tokens) + 1)::bigint) o) o),
    going AS MATERIALIZED (
        SELECT r.*, greatest(0, least(r.places, floor(r.tokens) - r.open, $4))::bigint AS at_once,
               coalesce(r.places > 0 AND r.open = 0 AND r.tokens < 1, false)::int AS later
        FROM rooms r),
    next AS MATERIALIZED (
        SELECT first.id, going.at_once = 0 AS is_later, going.next_at
        FROM going CROSS JOIN LATERAL (
            SELECT l.id FROM live l
            WHERE {_GROUP.format(group="going")} AND {PARKED}
            ORDER BY l.priority, l.due_since, l.id LIMIT going.at_once + going.later FOR UPDATE SKIP LOCKED) first),
    woken AS (
        UPDATE live SET claimable_at = CASE WHEN next.is_later THEN next.next_at ELSE now() END, rev = live.rev + 1
        FROM next WHERE live.id = next.id RETURNING live.queue)
"""
_WITH_KEYS = f"""
    WITH RECURSIVE groups AS (
        SELECT first.*
        FROM (SELECT DISTINCT * FROM unnest($1::int[], $2::text[], $3::text[]) AS k(tenant, queue, key)) k
        CROSS JOIN LATERAL ({_NEXT_GROUP.format(after=_OF_KEY)}) first
        UNION ALL
        SELECT next.* FROM groups CROSS JOIN LATERAL ({_NEXT_GROUP.format(after=_AFTER_IN_KEY)}) next),
    g AS MATERIALIZED (SELECT * FROM groups LIMIT $4),
    {_WAKE}
"""
_WOKEN = """
    SELECT (SELECT count(*) FROM woken),
           (SELECT min(extract(epoch FROM next_at - now())) FROM going WHERE later = 1 OR open > 0)::float8"""
WAKE = Statement("wake_limited", "int[], text[], text[], bigint", f"{_WITH_KEYS} {_WOKEN}")
_WAKE_OF_CALLER = f"{_WITH_KEYS} {for_caller(_WOKEN, '$5')}"
_TURNS = Turns(
    ("tenant", "queue", "key", "needs"),
    place="$1 AS tenant, $2 AS queue, $3 AS key, $5 AS needs",
    limit="$6",
    next_group=_NEXT_GROUP,
    after=_AFTER,
)
WAKE_IN_TURN = _TURNS.statement("wake_limited_in_turn", "int, text, text, bigint, text, bigint", _WAKE)
# A key that nobody has used for a while has a full bucket, and no holders.
DELETE_UNUSED = Statement(
    "delete_concurrency_keys",
    "interval, bigint",
    """
    DELETE FROM concurrency_keys WHERE (tenant, queue, key) IN (
        SELECT k.tenant, k.queue, k.key FROM concurrency_keys k
        WHERE k.filled_at < clock_timestamp() - $1
          AND NOT EXISTS (
              SELECT FROM queue_policies p WHERE p.queue = k.queue AND p.tenant IN (0, k.tenant)
                AND p.key_rate IS NOT NULL
                AND k.tokens + p.key_rate * extract(epoch FROM clock_timestamp() - k.filled_at) < p.key_burst)
          AND NOT EXISTS (SELECT FROM live l WHERE l.id = ANY (k.ids) AND l.worker IS NOT NULL)
        LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING 1
    """,
)


def admit(
    connection: "WorkerConnection", worker: int, queue: str, jobs: "Sequence[ClaimedJob]"
) -> "tuple[list[ClaimedJob], float | None]":
    """Take places for claimed jobs of a queue. Return those that may run, and when the next token of a key comes.

    The others are parked. That time is in seconds; None: no job waits for one.
    """
    keyed = [(job, job.concurrency_key) for job in jobs if job.concurrency_key is not None]
    if not keyed:
        return list(jobs), None
    tenants, keys = array_literal(key.tenant for _, key in keyed), [key.key for _, key in keyed]
    with connection.transaction():
        connection.run(LOCK, (queue, tenants, keys))
        taken = connection.run(TAKE, (queue, tenants, keys, array_literal(job.id for job, _ in keyed)))
    may_run = {row[0] for row in taken}
    rivals = [job for job, _ in keyed if job.id not in may_run]
    if rivals:
        arguments = array_literal(job.id for job in rivals), array_literal(job.attempt for job in rivals)
        connection.run(PARK, (worker, *arguments, MAX_PARKED))
    wait_s = wake(connection, {key for _, key in keyed})
    return [job for job in jobs if job.concurrency_key is None or job.id in may_run], wait_s


def wake(connection: "WorkerConnection", keys: Collection[ConcurrencyKey]) -> float | None:
    """Wake parked jobs of keys that have places. Return in how many seconds a key has a token for one.

    In the transaction that frees the places, a claim that follows may take the woken jobs.
    """
    found: float | None = connection.run(WAKE, (*_arrays(keys), MAX_WOKEN))[0][1]
    return found


async def wake_after_insert(connection: "asyncpg.Connection", tenant: int, keys: Iterable[ConcurrencyKey]) -> None:
    """Do the same for keys of new jobs of a tenant. To be called after their commit."""
    own = sorted(key for key in keys if key.tenant == tenant)
    await connection.fetch(
        _WAKE_OF_CALLER,
        *([key.tenant for key in own], [key.queue for key in own], [key.key for key in own], MAX_WOKEN),
        [tenant, ALL_TENANTS],
    )


def wake_in_turn(connection: "WorkerConnection", after: Group, limit: int) -> tuple[int, Group]:
    """Wake parked jobs of up to `limit` groups after a group. Return how many, and the last group."""
    tenant, queue, key, needs = after
    woken, groups, *last = connection.run(WAKE_IN_TURN, (tenant, queue, key, MAX_WOKEN, needs, limit))[0]
    return int(woken), NO_GROUP if groups < limit else (last[0], last[1], last[2], last[3])


def delete_unused(connection: "WorkerConnection", after_s: float, limit: int) -> int:
    """Delete up to `limit` rows of keys that nobody has used for `after_s` seconds. Return how many."""
    return len(connection.run(DELETE_UNUSED, (f"{after_s} s", limit)))


def _arrays(keys: Collection[ConcurrencyKey]) -> tuple[str, list[str], list[str]]:
    ordered = sorted(keys)
    return array_literal(key.tenant for key in ordered), [key.queue for key in ordered], [key.key for key in ordered]
