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

from tests.benchmarks import systems
from tests.benchmarks.async_jobs import together
from tests.benchmarks.expired import expired
from tests.benchmarks.payload_limits import limits, processes, retries, slow
from tests.benchmarks.setting import Figure, Stage, table
from tests.benchmarks.stampede import stampede
from tests.benchmarks.throughput import POSTGRES
from tools.servers import Postgres, Redis

FIGURES: dict[str, Callable[[Stage], list[Figure]]] = {
    "processes": processes,
    "retries": retries,
    "stampede": stampede,
    "limits": limits,
    "slow": slow,
    "expired": expired,
    "together": together,
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--figures", default=",".join(FIGURES))
    parser.add_argument("--seconds", type=float, default=10, help="of each load of `processes`, `limits` and `expired`")
    parser.add_argument("--clients", type=int, default=16, help="of each load of `limits`, `slow` and `expired`")
    parser.add_argument("--out", default="bench-limits.json")
    of = parser.add_argument_group("processes")
    of.add_argument("--processes", default="1,2,4,8", help="of the worker")
    of.add_argument("--backlog", type=int, default=100_000, help="jobs to drain")
    of.add_argument("--connections", type=int, default=32, help="of the load")
    of.add_argument("--laps", type=int, default=20, help="jobs submitted one at a time, to warm up")
    of = parser.add_argument_group("retries")
    of.add_argument("--retries", type=int, default=100_000, help="jobs that are due again at one instant")
    of.add_argument("--rate", type=float, default=200, help="requests a second of the light load")
    of.add_argument("--ahead", type=float, default=20, help="seconds until they are due")
    of.add_argument("--after", type=float, default=20, help="seconds for which the light load goes on from then")
    of = parser.add_argument_group("stampede")
    of.add_argument("--crowds", default="32,64", help="clients")
    of.add_argument("--calm", type=float, default=10, help="seconds before")
    of.add_argument("--away", type=float, default=15, help="seconds for which PostgreSQL is away")
    of.add_argument("--return-seconds", type=float, default=20, help="seconds after")
    of = parser.add_argument_group("limits")
    of.add_argument("--results", type=int, default=500, help="jobs with the greatest result")
    of = parser.add_argument_group("slow")
    of.add_argument("--kinds", default="bodies,heads,silent,readers", help="send bodies, heads or nothing; or read")
    of.add_argument("--slow", type=int, default=200, help="slow clients")
    of.add_argument("--pace", type=float, default=0.5, help="seconds between two of their bytes")
    of.add_argument(
        "--beside",
        type=float,
        default=25,
        help="seconds of the load beside them; longer than JOBPROC_REQUEST_HEADER_TIMEOUT_SECONDS",
    )
    of = parser.add_argument_group("expired, together")
    of.add_argument("--expired", type=int, default=1_000_000, help="finished jobs whose time is over")
    of.add_argument("--together", type=int, default=10_000, help="jobs that wait for a tenth of a second each")
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
