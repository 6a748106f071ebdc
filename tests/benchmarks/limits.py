"""Behaviour at the limits, each figure with its bound: `make bench BENCH="--only limits"`. Exits with 1 past a bound.

Each measurement has an empty database and its own processes. Machines are noisy: ratios are of one run, and bounds are
wide.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from common.command_line import command_line
from tests.benchmarks import systems
from tests.benchmarks.async_jobs import async_jobs
from tests.benchmarks.chatty_job import chatty_job
from tests.benchmarks.expired import expired
from tests.benchmarks.payload_limits import payload_limits, processes, retries, slow
from tests.benchmarks.setting import Figure, Stage, table
from tests.benchmarks.stampede import stampede
from tests.benchmarks.throughput import POSTGRES
from tools.servers import Postgres, Redis

FIGURES: dict[str, Callable[[Stage], list[Figure]]] = {
    "processes": processes,
    "retries": retries,
    "stampede": stampede,
    "payloads": payload_limits,
    "slow": slow,
    "expired": expired,
    "async_jobs": async_jobs,
    "chatty_job": chatty_job,
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:  # noqa: PLR0915 - an option each
    parser = command_line("tests.benchmarks.run --only limits", __doc__)
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument("--figures", default=",".join(FIGURES))
    parser.add_argument(
        "--seconds", type=float, default=10, help="of each load of `processes`, `payloads` and `expired`"
    )
    parser.add_argument("--clients", type=int, default=16, help="of each load of `payloads`, `slow` and `expired`")
    parser.add_argument("--out", default="bench-limits.json")
    group = parser.add_argument_group("processes")
    group.add_argument("--processes", default="1,2,4,8", help="of the worker")
    group.add_argument("--backlog", type=int, default=100_000, help="jobs to drain")
    group.add_argument("--connections", type=int, default=32, help="of the load")
    group.add_argument("--laps", type=int, default=20, help="jobs submitted one at a time, to warm up")
    group = parser.add_argument_group("retries")
    group.add_argument("--retries", type=int, default=100_000, help="jobs that are due again at one instant")
    group.add_argument("--rate", type=float, default=200, help="requests a second of the light load")
    group.add_argument("--ahead", type=float, default=20, help="seconds until they are due")
    group.add_argument("--after", type=float, default=20, help="seconds for which the light load continues from then")
    group = parser.add_argument_group("stampede")
    group.add_argument("--stampede-clients", default="32,64", help="clients, one run each")
    group.add_argument("--calm", type=float, default=10, help="seconds before")
    group.add_argument("--outage", type=float, default=15, help="seconds for which PostgreSQL is unavailable")
    group.add_argument("--return-seconds", type=float, default=20, help="seconds after")
    group = parser.add_argument_group("payloads")
    group.add_argument("--results", type=int, default=500, help="jobs with the largest result")
    group = parser.add_argument_group("slow")
    group.add_argument("--kinds", default="bodies,heads,silent,readers", help="send bodies, heads or nothing; or read")
    group.add_argument("--slow", type=int, default=200, help="slow clients")
    group.add_argument("--pace", type=float, default=0.5, help="seconds between two of their bytes")
    group.add_argument(
        "--beside",
        type=float,
        default=25,
        help="seconds of the load beside them; longer than JOBPROC_REQUEST_HEADER_TIMEOUT_SECONDS",
    )
    group = parser.add_argument_group("expired, async_jobs")
    group.add_argument("--expired", type=int, default=1_000_000, help="finished jobs past their own retention")
    group.add_argument("--async-jobs", type=int, default=10_000, help="jobs that wait for a tenth of a second each")
    group = parser.add_argument_group("chatty_job")
    group.add_argument("--turns", type=int, default=5, help="of each kind of job")
    group.add_argument("--chatty-seconds", type=float, default=8, help="for which the job logs")
    group.add_argument("--chatty-backlog", type=int, default=50_000, help="jobs to drain beside it")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, list[Figure]]:
    """Measure the selected limits; report those that fail to be measured, and continue."""
    postgres = Postgres(folder / "postgres", folder / "postgres.log", options=POSTGRES)
    redis = Redis(folder / "redis", folder / "redis.log")
    found: dict[str, list[Figure]] = {}
    try:
        postgres.start()
        redis.start()
        stage = Stage((postgres, redis), folder, options)
        for name in options.figures.split(","):
            print(f"{name} …", flush=True)
            try:
                found[name] = FIGURES[name](stage)
            except RuntimeError as error:
                found[name] = [Figure(f"cannot be measured: {error}", float("nan"), at_most=0)]
            print(table({name: found[name]}), flush=True)
    finally:
        redis.stop()
        postgres.stop()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and return the exit code. `arguments`: None reads the command line."""
    options = _options(arguments)
    folder = Path(tempfile.mkdtemp(prefix="jobproc-limits-"))
    folder.chmod(0o755)
    found = measure(options, folder)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=systems.ROOT
    ).stdout.strip()
    about = {"commit": commit, "python": platform.python_version(), "cores": os.cpu_count(), "options": vars(options)}
    rows = {name: [{**asdict(figure), "holds": figure.holds} for figure in figures] for name, figures in found.items()}
    Path(options.out).write_text(json.dumps({"about": about, "found": rows}, indent=1))
    print(table(found))
    return 0 if all(figure.holds for figures in found.values() for figure in figures) else 1
