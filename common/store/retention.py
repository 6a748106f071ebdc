"""Finished jobs go with their partition: nothing is deleted row by row."""

from sqlalchemy import Connection, text

from common.store.partitions import DAY_MS, TABLES, Period, database_ms, periods

MOST_SURVIVORS = 10_000  # copied aside and back under the lock: about 0.2 s; with more the partition waits

# Jobs of a period that must stay: not finished, or finished after the cut.
_SURVIVORS = """
    SELECT id FROM live WHERE id >= :first AND id < :after
    UNION
    SELECT id FROM outcomes WHERE id >= :first AND id < :after AND finished_at > to_timestamp(:cut_ms / 1000.0)
"""
_GATE = text(f"""
    SELECT (SELECT count(*) FROM (SELECT FROM ({_SURVIVORS}) s LIMIT :most + 1) n),
           EXISTS (SELECT FROM jobs WHERE id >= :first AND id < :after AND id NOT IN ({_SURVIVORS}))
""")


def ended_periods(connection: Connection, days: int) -> tuple[int, list[Period]]:
    """Return the cut in Unix milliseconds, and the periods that lie wholly before it."""
    cut = database_ms(connection) - days * DAY_MS
    return cut, [p for p in periods(connection) if p.end <= cut]


def clear(connection: Connection, period: Period, cut_ms: int) -> int:
    """Remove the finished jobs of a period in the caller's transaction; returns how many jobs stay in it.

    Gate without a lock, lock, the same gate again, then truncate: a job that is retried or submitted in between is kept.
    Raises OperationalError when the lock is not to be had within lock_timeout: later, then.
    """
    first, after = period.bounds
    arguments = {"first": first, "after": after, "cut_ms": cut_ms, "most": MOST_SURVIVORS}
    survivors, removable = connection.execute(_GATE, arguments).one()
    if survivors > MOST_SURVIVORS or not removable:
        return int(survivors)
    names = [f"{table}_{period.suffix}" for table in TABLES]
    connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
    connection.execute(text(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE"))
    survivors, removable = connection.execute(_GATE, arguments).one()
    if survivors > MOST_SURVIVORS or not removable:
        return int(survivors)
    if survivors:
        connection.execute(text(f"CREATE TEMP TABLE survivors ON COMMIT DROP AS {_SURVIVORS}"), arguments)
        for table, name in zip(TABLES, names, strict=True):
            connection.execute(text(f"CREATE TEMP TABLE kept_{table} ON COMMIT DROP AS SELECT * FROM {name} WHERE id IN (SELECT id FROM survivors)"))
    connection.execute(text(f"TRUNCATE {', '.join(names)}"))
    if survivors:
        for table, name in zip(TABLES, names, strict=True):
            connection.execute(text(f"INSERT INTO {name} SELECT * FROM kept_{table}"))
    left = "AND id NOT IN (SELECT id FROM survivors)" if survivors else ""
    connection.execute(text(f"DELETE FROM reruns WHERE id >= :first AND id < :after {left}"), {"first": first, "after": after})  # few: not partitioned
    return int(survivors)


def drop_empty(connection: Connection, period: Period) -> None:
    """Drop the partitions of a period that has no job left, in the caller's transaction.

    Needs a lock that submissions wait for, so it gives up after a tenth of a second: OperationalError, later then.
    """
    connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
    names = [f"{table}_{period.suffix}" for table in TABLES]
    connection.execute(text(f"LOCK TABLE {', '.join(TABLES)}, {', '.join(names)} IN ACCESS EXCLUSIVE MODE"))
    if not connection.execute(text(f"SELECT EXISTS (SELECT FROM {names[0]})")).scalar_one():
        connection.execute(text(f"DROP TABLE {', '.join(names)}"))
