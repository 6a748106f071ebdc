"""Cost of each statement as the tables grow, and of idle workers: `make bench BENCH="--only growth"`.

Measures claim, insert and the controller's reads on the store alone, at each backlog and then beside a table of
finished jobs: medians of many, in milliseconds. Compare figures of one run only.
"""

import asyncio
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import psutil
import psycopg2

from common.command_line import command_line
from common.domain.job import NewJob, new_job_id
from common.migrate import migrate
from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import claims, insert
from common.store.queues import queue_state
from common.store.workers import leases
from common.store.workers.low_water_marks import LowWaterMarks
from common.store.workers.results import Results
from tools.servers import Postgres

POSTGRES = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
AT_ONCE = 100_000  # rows inserted by one statement
LEASE_S = 3_600.0
_JOBS = """
WITH new AS (
    INSERT INTO jobs (id, operation, queue, input, max_attempts, priority)
    SELECT uuidv7(), 'square_sum', 'default', '{"data":[1,2,3]}', 3, 5 FROM generate_series(1, %s) RETURNING id)
"""
_WAITING = (
    _JOBS + "INSERT INTO live (id, queue, priority, max_attempts, claimable_at) "
    "SELECT id, 'default', 5, 3, clock_timestamp() FROM new"
)
_FINISHED = (
    _JOBS + "INSERT INTO outcomes (id, run, attempt, released, rev, worker, started_at, status, result) "
    "SELECT id, 0, 1, 0, 2, 1, now(), 'SUCCESS', '14.0' FROM new"
)
Costs = dict[str, float]


class Store:
    """A database with a registered worker, and the measurements on it."""

    def __init__(self, url: str) -> None:
        os.environ.update(DATABASE_URL=url, REDIS_URL="redis://127.0.0.1:1/0")
        self.settings = Settings.from_env(os.environ)
        migrate(self.settings)
        self.database = psycopg2.connect(url)
        self.database.autocommit = True
        self.connection = WorkerConnection(self.settings, "growth", by_index=True)
        self.worker = leases.register(self.connection, LEASE_S, 1, "growth", ["default"], ["square_sum"])

    def fill(self, sql: str, rows: int) -> None:
        """Insert rows."""
        with self.database.cursor() as cursor:
            for start in range(0, rows, AT_ONCE):
                cursor.execute(sql, (min(AT_ONCE, rows - start),))
            cursor.execute("VACUUM ANALYZE")  # as autovacuum would have done by then
            cursor.execute("CHECKPOINT")

    def costs(self, times: int) -> Costs:
        """Return the median of each statement in milliseconds."""
        marks, connection = LowWaterMarks(), self.connection
        queue_state.due_queues(connection)  # plans the statement

        def claim(count: int) -> Callable[[], None]:
            ended = Results()

            def once() -> None:
                nonlocal ended
                _, jobs = claims.settle_and_claim(connection, self.worker, ended, "default", marks, count)
                assert len(jobs) == count, "the backlog is used up"
                ended = Results()
                for job in jobs:
                    ended.add(job, "14.0", 0.00001)

            return once

        found = {
            "settle 1, claim 1": _median(claim(1), times),
            "settle 100, claim 100": _median(claim(100), 9),
            "due queues": _median(lambda: queue_state.due_queues(connection), times),
            "oldest due": _median(lambda: queue_state.oldest_due_s(connection), times),
            "depth": _median(
                lambda: queue_state.depth(connection, self.settings.queue_count_limit), max(9, times // 10)
            ),
            "strays": _median(lambda: queue_state.requeue_strays(connection, 60.0, 10_000), max(9, times // 10)),
        }
        return found | asyncio.run(self._submits(times))

    async def _submits(self, times: int) -> Costs:
        connection = await asyncpg.connect(self.settings.database_url)
        took = []
        try:
            for _ in range(times):
                jobs = [
                    NewJob(
                        new_job_id(time.time_ns() // 1_000_000, uuid4().int),
                        "square_sum",
                        "default",
                        '{"data":[1,2,3]}',
                        3,
                        None,
                        5,
                    )
                ]
                began = time.perf_counter()
                await insert.insert_jobs(connection, jobs)
                took.append((time.perf_counter() - began) * 1e3)
        finally:
            await connection.close()
        return {"submit 1": statistics.median(took)}

    def close(self) -> None:
        """Close it."""
        self.connection.close()
        self.connection.close()


def _median(work: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took)


def idle(store: Store, postgres: Postgres, count: int, seconds: float) -> Costs:
    """Return the cost of idle workers for PostgreSQL: each polls once a tick, and renews its lease each heartbeat."""
    done, asked = threading.Event(), [0] * count
    settings = store.settings

    def worker(number: int) -> None:
        connection, marks = WorkerConnection(settings, "growth", by_index=True), LowWaterMarks()
        mine = leases.register(connection, LEASE_S, number, f"idle-{number}", ["default"], ["square_sum"])
        ticks = 0
        while not done.wait(settings.tick_seconds):
            claims.settle_and_claim(connection, mine, Results(), "default", marks, 1)
            asked[number] += 1
            ticks += 1
            if ticks % round(settings.heartbeat_seconds / settings.tick_seconds) == 0:
                leases.renew(
                    connection, LEASE_S, [leases.LeaseRenewal(mine, 0, {"default": {"5": marks.claimable_at[5]}}, {})]
                )
                asked[number] += 1
        connection.close()

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    assert postgres.process is not None
    server = psutil.Process(postgres.process.pid)
    time.sleep(5)  # until connections are open and statements planned
    before, began, asked_before = _cpu_s(server), time.perf_counter(), sum(asked)
    time.sleep(seconds)
    took = time.perf_counter() - began
    cpu, queries = (_cpu_s(server) - before) / took, (sum(asked) - asked_before) / took
    done.set()
    for thread in threads:
        thread.join()
    return {"queries a second": queries, "PostgreSQL's share of a core": cpu}


def _cpu_s(server: psutil.Process) -> float:
    total = 0.0
    for process in [server, *server.children()]:
        spent = process.cpu_times()
        total += spent.user + spent.system
    return total


@contextmanager
def _store() -> Iterator[tuple[Store, Postgres]]:
    folder = Path(tempfile.mkdtemp(prefix="jobproc-growth-"))
    folder.chmod(0o755)
    postgres = Postgres(folder / "postgres", folder / "postgres.log", options=POSTGRES)
    postgres.start()
    store = Store(postgres.url())
    try:
        yield store, postgres
    finally:
        store.close()
        postgres.stop()


def table(found: dict[str, Costs]) -> str:
    """Return the figures as a table, a row a figure."""
    rows = [f"| | {' | '.join(found)} |", "|---|" + "---|" * len(found)]
    rows += [
        f"| {name} | " + " | ".join(f"{costs[name]:.3g}" for costs in found.values()) + " |"
        for name in next(iter(found.values()))
    ]
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and return the exit code. `arguments`: None reads the command line."""
    parser = command_line("tests.benchmarks.run --only growth", __doc__)
    parser.add_argument("--backlogs", default="1000,10000,100000,1000000")
    parser.add_argument("--finished", type=int, default=10_000_000, help="finished jobs beside the last one; 0: none")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--idle", type=int, default=100, help="idle workers; 0: none")
    options = parser.parse_args(arguments)
    found: dict[str, Costs] = {}
    with _store() as (store, postgres):
        if options.idle:
            print(f"{options.idle} idle workers: {idle(store, postgres, options.idle, 20)}", flush=True)
        there = 0
        for backlog in map(int, options.backlogs.split(",")):
            store.fill(_WAITING, max(0, backlog + 2_000 - there))  # the measured claims take some of them
            there = backlog + 2_000 - 100 * 9 - options.times + options.times
            found[f"{backlog:,} waiting"] = store.costs(options.times)
        if options.finished:
            store.fill(_FINISHED, options.finished)
            found[f"and {options.finished:,} finished"] = store.costs(options.times)
    print(table(found))
    return 0
