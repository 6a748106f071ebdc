"""jobproc beside Celery by hand and the ceilings: `make bench`. Interleaved rounds in one run, medians out.

Durable PostgreSQL (fsync on), one uvicorn process, two Celery processes, everything on this machine. Every round checks
that each accepted job ended with 14.0. Machines are noisy: compare figures of one run only.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from common.command_line import command_line
from tests.benchmarks import measure, systems
from tests.benchmarks.measure import Database
from tools.servers import Postgres, Redis, free_port

Figures = dict[str, float]
Servers = tuple[Postgres, Redis]
POSTGRES = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
DRAIN_LIMIT_S = 300.0


@contextmanager
def fresh(postgres: Postgres, redis: Redis, folder: Path) -> Iterator[dict[str, str]]:
    """Yield an empty database and an empty Redis."""
    admin = psycopg2.connect(postgres.url())
    admin.autocommit = True
    admin.cursor().execute("DROP DATABASE IF EXISTS bench WITH (FORCE)")
    admin.cursor().execute("CREATE DATABASE bench")
    admin.cursor().execute("CHECKPOINT")
    redis.client.flushall()
    yield {**os.environ, "DATABASE_URL": postgres.url("bench"), "REDIS_URL": redis.url}
    admin.close()


def load(
    port: int,
    connections: int,
    seconds: float,
    rate: float = 0.0,
    body: tuple[str, str] | None = None,
    key: str | None = None,
) -> dict[str, Any]:
    """Run the load generator in a new process.

    `body`: URL path and file of a body other than the plain job. `key`: as of `measure.one_at_a_time`.
    """
    argv = [
        sys.executable,
        "-m",
        "tests.benchmarks.load",
        str(port),
        str(connections),
        str(seconds),
        str(rate),
        *(body or ()),
    ]
    env = os.environ | ({measure.API_KEY: key} if key else {})
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, cwd=systems.ROOT)
    return dict(json.loads(done.stdout))


class Spent:
    """CPU time by part, from its creation on."""

    def __init__(self, system: systems.System, servers: Servers) -> None:
        self._processes = {**system.processes, "postgres": servers[0].process, "redis": servers[1].process}
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {name: measure.cpu_s(process) for name, process in self._processes.items() if process is not None}

    def a_job(self, prefix: str, jobs: float) -> Figures:
        """Return microseconds a job, by part."""
        spent: Figures = {}
        for name, now in self._now().items():
            part = f"{prefix}cpu_us_a_job_{name.rstrip('0123456789')}"
            spent[part] = spent.get(part, 0.0) + (now - self._before[name]) / jobs * 1e6
        return spent


def measured(
    system: systems.System, port: int, servers: Servers, url: str, options: argparse.Namespace, backlogs: list[int]
) -> Figures:
    """Measure a system: one at a time, under load, draining."""
    out: Figures = {}
    key = system.env.get(measure.API_KEY)
    system.run(system.prepare)
    database = Database(url)
    try:
        system.start("api", "worker", "others")
        measure.wait_until("the first job", lambda: answers(port, key))
        out["lap_p50_ms"], out["lap_p99_ms"] = measure.p50_and_p99(measure.one_at_a_time(port, options.laps, key=key))
        before, began = database.row(system.finished)[0], time.time()
        commits, wal = database.counters()
        spent = Spent(system, servers)
        began = time.time()
        loaded = load(port, options.connections, options.seconds, key=key)
        jobs, _, last = measure.drained(database, system.finished, int(before + loaded["accepted"]), DRAIN_LIMIT_S)
        out |= {
            name: loaded[name]
            for name in ("post_s", "p50_ms", "p99_ms", "max_ms", "refused", "unanswered", "generator_cpu")
        }
        out |= spent.a_job("", jobs - before)
        out["e2e_s"] = (jobs - before) / (last - began)
        commits2, wal2 = database.counters()
        out["transactions_a_job"], out["wal_bytes_a_job"] = (
            (commits2 - commits) / (jobs - before),
            (wal2 - wal) / (jobs - before),
        )
        out["pss_mib"] = measure.proportional_mib(system.processes.values())
        for backlog in backlogs:
            out |= _drain(system, database, servers, backlog)
    finally:
        system.end()
        database.close()
    return out


def answers(port: int, key: str | None = None) -> bool:
    """Return True if a first job has succeeded."""
    try:
        return bool(measure.one_at_a_time(port, 1, key=key))
    except (OSError, ValueError, KeyError):
        return False


def _drain(system: systems.System, database: Database, servers: Servers, backlog: int) -> Figures:
    system.end("worker")  # the controller keeps running, as in any deployment
    before = database.row(system.finished)[0]
    began = time.perf_counter()
    system.run([*system.load, str(backlog)])
    submitted = backlog / (time.perf_counter() - began)
    commits, _ = database.counters()
    mark = time.time()
    system.start("worker")
    spent = Spent(system, servers)
    jobs, _, last = measure.drained(database, system.finished, before + backlog, DRAIN_LIMIT_S)
    cpu = spent.a_job(f"drain_{backlog}_", backlog)
    first = float(
        database.row(
            f"SELECT extract(epoch FROM min(started_at)) FROM {system.ran} WHERE started_at > to_timestamp({mark})"
        )[0]
    )
    commits2, _ = database.counters()
    return {
        f"drain_{backlog}_s": (jobs - before) / (last - first),
        f"bulk_submit_{backlog}_s": submitted,
        f"drain_{backlog}_transactions_a_job": (commits2 - commits) / backlog,
        **cpu,
    }


def rounds(options: argparse.Namespace) -> dict[str, list[Figures]]:
    """Measure all systems in interleaved rounds."""
    folder = Path(tempfile.mkdtemp(prefix="jobproc-bench-"))
    folder.chmod(0o755)
    postgres, redis = (
        Postgres(folder / "postgres", folder / "postgres.log", options=POSTGRES),
        Redis(folder / "redis", folder / "redis.log"),
    )
    runs: dict[str, list[Figures]] = {}
    try:
        postgres.start()
        redis.start()
        for number in range(options.rounds):
            for name in options.systems.split(","):
                with fresh(postgres, redis, folder) as env:
                    figures = _one(name, env, (postgres, redis), folder, options)
                runs.setdefault(name, []).append(figures)
                print(
                    f"{number + 1} {name}: " + json.dumps({key: round(value, 3) for key, value in figures.items()}),
                    flush=True,
                )
    finally:
        redis.stop()
        postgres.stop()
    return runs


def _one(name: str, env: dict[str, str], servers: Servers, folder: Path, options: argparse.Namespace) -> Figures:
    port, url = free_port(), env["DATABASE_URL"]
    if name == "pgbench":
        database = Database(url)
        database.row(f"{measure.BENCH_TABLE}; SELECT 1")
        database.close()
        return {"drain_s": measure.pgbench(url, round(options.seconds))}
    if name == "bare":
        system = systems.bare(port, folder)
        try:
            system.start("api")
            measure.wait_until("the endpoint", lambda: _listens(port))
            return load(port, options.connections, options.seconds)
        finally:
            system.end()
    if name == "pgbouncer":
        with systems.pooled(folder, env) as through:
            return measured(
                systems.jobproc(port, folder, through, name), port, servers, url, options, _numbers(options.backlogs)
            )
    return measured(
        systems.made(name, port, folder, env, options.beside), port, servers, url, options, _backlogs(name, options)
    )


def _backlogs(name: str, options: argparse.Namespace) -> list[int]:
    """Return the sizes of the backlogs that a system drains."""
    if name == "seed":
        return [options.seed_backlog]
    return [options.traced_backlog] if name in systems.SAMPLERS else _numbers(options.backlogs)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def pauses(seconds: float = 5) -> dict[int, tuple[float, float]]:
    """Return how much of each core other processes take now; such pauses distort single latencies."""
    cores = sorted(os.sched_getaffinity(0))
    with ProcessPoolExecutor(len(cores)) as each:
        gaps = each.map(measure.pauses, cores, [seconds] * len(cores))
        return {core: (round(taken, 1), round(longest, 1)) for core, (taken, longest) in zip(cores, gaps, strict=True)}


def table(runs: dict[str, list[Figures]]) -> str:
    """Return the medians as a table, a row a figure."""
    medians = {
        name: {key: statistics.median([f[key] for f in figures if key in f]) for key in figures[0]}
        for name, figures in runs.items()
    }
    keys = list(dict.fromkeys(key for figures in medians.values() for key in figures))
    rows = [f"| figure | {' | '.join(medians)} |", "|---|" + "---|" * len(medians)]
    rows += [
        f"| {key} | " + " | ".join(f"{m[key]:,.4g}" if key in m else "" for m in medians.values()) + " |"
        for key in keys
    ]
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and return the exit code. `arguments`: None reads the command line."""
    parser = command_line("tests.benchmarks.run --only throughput", __doc__)
    parser.add_argument("--systems", default="bare,pgbench,seed,jobproc,sampled-none,sampled-all")
    parser.add_argument(
        "--beside",
        type=Path,
        help="a JSON file of further systems: their commands and SQL, as `systems.given` takes them",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--laps", type=int, default=2000)
    parser.add_argument("--backlogs", default="10000,100000,1000000", help="jobs to drain, one after the other")
    parser.add_argument("--seed-backlog", type=int, default=3000, help="the same for the plain way")
    parser.add_argument("--traced-backlog", type=int, default=100_000, help="the same with tracing on")
    parser.add_argument("--out", default="bench-results.json")
    options = parser.parse_args(arguments)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=systems.ROOT
    ).stdout.strip()
    asked = {name: str(value) for name, value in vars(options).items()}
    about: dict[str, Any] = {
        "commit": commit,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "options": asked,
    }
    about["pauses_ms_a_second_and_longest_ms"] = pauses()
    print(
        "taken of each core by other processes, ms a second and the longest pause in ms: "
        f"{about['pauses_ms_a_second_and_longest_ms']}",
        flush=True,
    )
    runs = rounds(options)
    Path(options.out).write_text(json.dumps({"about": about, "runs": runs}, indent=1))
    print(table(runs))
    return 0
