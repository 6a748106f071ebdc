"""Measurements beside the load: counters of the database, memory, single latencies, pgbench."""

import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from tools.servers import programs

API_KEY = "BENCH_API_KEY"  #: the variable from which load generators take the API key that they send
SAMPLE = json.dumps({"data": [1, 2, 3], "operation": "square_sum"})
PAUSE_S = 0.0005  # a gap this long in a loop that only reads the clock is a pause
LATE_S = 1.2  # backends report their counters within a second


class Database:
    """Queries on the measured database."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True

    def row(self, sql: str) -> tuple[Any, ...]:
        """Return the first row."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return tuple(cursor.fetchone() or ())

    def counters(self) -> tuple[float, float]:
        """Return the numbers of committed transactions and WAL bytes."""
        time.sleep(LATE_S)
        return self.row(
            "SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()), "
            "pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8"
        )

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def drained(database: Database, finished: str, at_least: int, limit_s: float) -> tuple[int, float, float]:
    """Wait until every job has ended with 14.0; return the number of jobs, the first start and the last finish.

    Raises RuntimeError after `limit_s` seconds. Counting competes with the measured system, so it gets a twentieth of
    the time, however many rows there are.
    """
    until = time.monotonic() + limit_s
    while True:
        asked = time.monotonic()
        jobs, right, first, last = database.row(finished)
        if jobs == right >= at_least:
            return jobs, float(first or 0), float(last or 0)
        if time.monotonic() > until:
            raise RuntimeError(
                f"{jobs} jobs, {right} ended with 14.0 after {limit_s:g} s; at least {at_least} were accepted"
            )
        time.sleep(max(0.25, 20 * (time.monotonic() - asked)))


def proportional_mib(processes: "Iterable[subprocess.Popen[bytes]]") -> float:
    """Return the memory of processes and their children in MiB; shared pages count once (PSS)."""
    total = 0
    for process in processes:
        top = psutil.Process(process.pid)
        for member in [top, *top.children(recursive=True)]:
            total += member.memory_full_info().pss
    return total / 2**20


def cpu_s(process: "subprocess.Popen[bytes]") -> float:
    """Return the CPU seconds of a process and its children, ended ones included."""
    top = psutil.Process(process.pid)
    spent = sum(top.cpu_times()[:4])
    for child in top.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            spent += sum(child.cpu_times()[:4])
    return float(spent)


def p50_and_p99(ordered: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile of ordered values."""
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]


def authorization(key: str | None) -> dict[str, str]:
    """Return the header with an API key; None or an empty one: no header."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def one_at_a_time(port: int, laps: int, *, waits: bool = False, key: str | None = None) -> list[float]:
    """Submit a job and poll its result, `laps` times; return the milliseconds of each, in order.

    `waits`: the submission itself waits for the result. `key`: the API key; None: there is no authentication.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    headers = {"Content-Type": "application/json", **authorization(key)}

    def call(method: str, path: str, body: str | None = None) -> dict[str, Any]:
        connection.request(method, path, body, headers)
        return dict(json.loads(connection.getresponse().read()))

    took = []
    for _ in range(laps):
        began = time.perf_counter()
        found = call("POST", "/jobs/?wait=10" if waits else "/jobs/", SAMPLE)
        while found["status"] != "SUCCESS" and time.perf_counter() - began < 10:
            found = call("GET", f"/jobs/{found['job_id']}/result")
            if found["status"] != "SUCCESS":
                time.sleep(0.001)
        took.append((time.perf_counter() - began) * 1e3)
    return sorted(took)


def pauses(core: int, seconds: float) -> tuple[float, float]:
    """Return how much of a core other processes take: milliseconds a second, and the longest pause in milliseconds."""
    os.sched_setaffinity(0, {core})
    began = last = time.perf_counter()
    taken = longest = 0.0
    while last - began < seconds:
        now = time.perf_counter()
        if now - last > PAUSE_S:
            taken, longest = taken + now - last, max(longest, now - last)
        last = now
    return taken / seconds * 1e3, longest * 1e3


def wait_until(what: str, ready: Callable[[], bool], limit_s: float = 40) -> None:
    """Wait for a condition."""
    until = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > until:
            raise RuntimeError(f"{what}: not within {limit_s:g} s")
        time.sleep(0.05)


_LIFE_OF_100 = """
\\set a random(1, 1000000000)
INSERT INTO bench_jobs (id, operation, data) SELECT md5(:a::text || g)::uuid, 'square_sum', '[1,2,3]' FROM generate_series(1,100) g ON CONFLICT DO NOTHING;
UPDATE bench_jobs SET status='IN_PROGRESS', started_at=now() WHERE id = ANY (ARRAY(SELECT md5(:a::text || g)::uuid FROM generate_series(1,100) g)) AND status='PENDING';
UPDATE bench_jobs SET status='SUCCESS', result=14.0, finished_at=now() WHERE id = ANY (ARRAY(SELECT md5(:a::text || g)::uuid FROM generate_series(1,100) g)) AND status='IN_PROGRESS';
"""  # noqa: E501 - a statement a line, as pgbench reads them


def pgbench(url: str, seconds: int) -> float:
    """Return the jobs/s of pgbench: insert, claim and settle, a hundred jobs a statement, four clients."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_LIFE_OF_100)
        script.flush()
        Path(script.name).chmod(0o644)
        argv = [
            str(Path(programs()) / "pgbench"),
            "-n",
            "-T",
            str(seconds),
            "-c",
            "4",
            "-j",
            "2",
            "-f",
            script.name,
            url,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return next(float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("tps")) * 100


BENCH_TABLE = (
    "CREATE TABLE bench_jobs (id uuid PRIMARY KEY, operation text NOT NULL, data jsonb NOT NULL, "
    "status text NOT NULL DEFAULT 'PENDING', result double precision, created_at timestamptz NOT NULL DEFAULT now(), "
    "started_at timestamptz, finished_at timestamptz)"
)
