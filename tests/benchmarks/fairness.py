"""Fair share between tenants: `make bench BENCH="--only fairness"`. Exits with 1 past a bound.

What a backlog of one tenant and of a thousand costs to drain, and how long single jobs of new tenants wait behind a
backlog of another, all through worker processes. Ratios are of one run, the waits from the commit of the job's insert
to the start of its attempt.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.command_line import command_line
from tests.benchmarks.disturbances import Scene
from tests.benchmarks.measure import cpu_s, p50_and_p99
from tests.benchmarks.setting import Figure, Stage, table
from tests.benchmarks.throughput import POSTGRES
from tools.servers import Postgres, Redis

ADD_TENANTS = "INSERT INTO tenants (name) SELECT 't' || n FROM generate_series(2, %s) n"
STORE = """
WITH new AS (
    INSERT INTO jobs (id, tenant, operation, queue, input, max_attempts)
    SELECT uuidv7(), {tenant}, 'square_sum', 'default', '{{"data":[1,2,3]}}', 3 FROM generate_series(1, %s) n
    RETURNING id, tenant)
INSERT INTO live (id, tenant, queue, max_attempts, claimable_at)
SELECT id, tenant, 'default', 3, now() + %s * interval '1 s' FROM new RETURNING id::text
"""
LEFT = "SELECT EXISTS (SELECT FROM live)"
WAITED = "SELECT extract(epoch FROM started_at)::float8 FROM outcomes WHERE id = %s AND result::text = '14.0'"
SPAN = """
SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM outcomes
WHERE started_at >= to_timestamp(%s) AND result::text = '14.0'
"""
SINGLE_INTERVAL_S = 0.1
STORED_PER_S = 10_000  # at least


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line("tests.benchmarks.run --only fairness", __doc__)
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument("--jobs", type=int, default=100_000, help="of each backlog that is drained")
    parser.add_argument("--tenants", type=int, default=1_000, help="with a backlog each")
    parser.add_argument("--backlog", type=int, default=300_000, help="jobs of the tenant behind which others wait")
    parser.add_argument("--rounds", type=int, default=3, help="of the drains, in turns")
    return parser.parse_args(arguments)


class Database:
    """The database of a scene, in autocommit."""

    def __init__(self, there: Scene) -> None:
        self._connection = there.connect()
        self._connection.autocommit = True

    def rows(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, arguments)
            return list(cursor.fetchall()) if cursor.description else []


def _spent_s(there: Scene) -> float:
    """Return the CPU seconds of the worker and of PostgreSQL so far."""
    assert there.postgres.process is not None
    return cpu_s(there.system.processes["worker0"]) + cpu_s(there.postgres.process)


def _store_backlog(database: Database, tenant: str, jobs: int) -> float:
    """Store jobs that become due all at once, and wait for that; returns the time. `tenant` is SQL.

    Of jobs that are due while their insert goes on, those of its beginning would be strays.
    """
    ((due,),) = database.rows("SELECT extract(epoch FROM now())::float8")
    ahead_s = 2 + jobs / STORED_PER_S
    database.rows(STORE.format(tenant=tenant), jobs, ahead_s)
    ((now,),) = database.rows("SELECT extract(epoch FROM now())::float8")
    if now > due + ahead_s:
        raise RuntimeError(f"the backlog took {now - due:.0f} s to store")
    time.sleep(due + ahead_s - now)
    return float(due + ahead_s)


def _wait_until_drained(database: Database) -> None:
    until = time.monotonic() + 300
    while database.rows(LEFT) != [(False,)]:
        if time.monotonic() > until:
            raise RuntimeError("the backlog is not drained")
        time.sleep(0.25)  # the look costs what dead rows there are


def _drain(there: Scene, database: Database, jobs: int, tenants: int) -> tuple[float, float]:
    """Drain a backlog of so many tenants; returns jobs/s, and CPU microseconds a job of worker and PostgreSQL."""
    began = _store_backlog(database, f"1 + mod(n, {tenants})", jobs)
    before_s = _spent_s(there)
    _wait_until_drained(database)
    spent_s = _spent_s(there) - before_s
    ((ended, seconds),) = database.rows(SPAN, began)
    if ended != jobs:
        raise RuntimeError(f"{ended} of {jobs} jobs have ended")
    return jobs / seconds, spent_s / jobs * 1e6


def speed(there: Scene, database: Database, options: argparse.Namespace) -> list[Figure]:
    """Measure drains in turns: by an installation that has one tenant, then one beside others, then all of them."""
    _drain(there, database, options.jobs // 10, 1)  # warms up
    alone = [_drain(there, database, options.jobs, 1) for _ in range(options.rounds)]
    database.rows(ADD_TENANTS, options.tenants)
    time.sleep(1.1)  # the processes read it once a second
    one, all_of_them = [], []
    for _ in range(options.rounds):
        one.append(_drain(there, database, options.jobs, 1))
        all_of_them.append(_drain(there, database, options.jobs, options.tenants))
    rate, spent = _medians(alone)
    found = [Figure("one tenant, of one: jobs/s", rate), Figure("… CPU us a job, workers and PostgreSQL", spent)]
    for name, runs, at_least in (
        (f"one tenant, of {options.tenants:,}", one, 0.9),
        (f"{options.tenants:,} tenants", all_of_them, 0.7),
    ):
        its_rate, its_spent = _medians(runs)
        found.append(Figure(f"{name}: jobs/s", its_rate))
        found.append(Figure("… to one of one", its_rate / rate))
        found.append(Figure("… by CPU a job", spent / its_spent, at_least=at_least))
    return found


def _medians(runs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    rates, spent = zip(*runs, strict=True)
    return statistics.median(rates), statistics.median(spent)


def waits(database: Database, options: argparse.Namespace) -> list[Figure]:
    """Measure how long single jobs of new tenants wait while another's backlog is drained."""
    _store_backlog(database, "1", options.backlog)
    singles: list[tuple[str, float]] = []
    tenant = 2
    while database.rows(LEFT) == [(True,)]:
        ((job_id,),) = database.rows(STORE.format(tenant=tenant), 1, 0)
        ((stored_at,),) = database.rows("SELECT extract(epoch FROM clock_timestamp())::float8")
        singles.append((job_id, stored_at))
        tenant += 1
        time.sleep(SINGLE_INTERVAL_S)
    _wait_until_drained(database)
    waited = sorted(max(0.0, database.rows(WAITED, job_id)[0][0] - stored_at) for job_id, stored_at in singles)
    p50, p99 = p50_and_p99(waited)
    return [
        Figure("single jobs of new tenants behind it", len(waited)),
        Figure("… wait p50 in ms", p50 * 1_000, at_most=250),
        Figure("… wait p99 in ms", p99 * 1_000, at_most=1_000),
        Figure("… longest wait in ms", waited[-1] * 1_000),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and return the exit code. `arguments`: None reads the command line."""
    options = _options(arguments)
    folder = Path(tempfile.mkdtemp(prefix="jobproc-fairness-"))
    folder.chmod(0o755)
    postgres = Postgres(folder / "postgres", folder / "postgres.log", options=POSTGRES)
    redis = Redis(folder / "redis", folder / "redis.log")
    found: dict[str, list[Figure]] = {}
    try:
        postgres.start()
        redis.start()
        with Stage((postgres, redis), folder, options).scene() as there:
            database = Database(there)
            _wait_until_drained(database)
            found["speed"] = speed(there, database, options)
            found["waits"] = waits(database, options)
    finally:
        redis.stop()
        postgres.stop()
    print(table(found))
    return 0 if all(figure.holds for figures in found.values() for figure in figures) else 1
