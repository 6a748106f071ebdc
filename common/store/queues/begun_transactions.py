"""The transactions that had begun when a policy was committed: a claim among them does not see it.

A claim takes its snapshot before its locks, so neither a lock of the policy's row nor one of its table orders the two.
All transactions of the database that exist after the commit are waited for instead: each is gone within milliseconds.
Those that stay for longer and have changed no job, such as a dump of the database, are not: they are no claims.
Nothing here needs a right: who sees pg_locks and pg_stat_activity sees these columns of all sessions.
"""

from collections.abc import Iterable

import asyncpg

Transaction = tuple[int, str]  #: the process of its session, and its virtual id

_BEGUN = """
SELECT l.pid, l.virtualtransaction FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.granted AND a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL
  AND a.datname = current_database()
"""
# A claim locks `live` as a writer in its first moment; until then it has no lock of any table.
_OPEN = """
SELECT DISTINCT b.pid, b.id
FROM unnest($1::int[], $2::text[]) AS b(pid, id) JOIN pg_locks l ON l.pid = b.pid AND l.virtualtransaction = b.id
WHERE NOT $3 OR NOT EXISTS (
    SELECT FROM pg_locks h
    WHERE h.pid = b.pid AND h.virtualtransaction = b.id AND h.locktype = 'relation' AND h.granted)
  OR EXISTS (
    SELECT FROM pg_locks h
    WHERE h.pid = b.pid AND h.virtualtransaction = b.id
      AND (NOT h.granted OR (h.relation = 'live'::regclass AND h.mode <> 'AccessShareLock')))
"""


async def begun(connection: asyncpg.Connection) -> list[Transaction]:
    """Return the transactions of other sessions that exist now."""
    return [(row[0], row[1]) for row in await connection.fetch(_BEGUN)]


async def still_open(
    connection: asyncpg.Connection, transactions: Iterable[Transaction], *, without_readers: bool
) -> list[Transaction]:
    """Return those that have not ended. `without_readers`: leave out those that hold locks, but none as a claim has."""
    pids, ids = zip(*transactions, strict=True)
    return [(row[0], row[1]) for row in await connection.fetch(_OPEN, pids, ids, without_readers)]
