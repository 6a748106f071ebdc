"""Equal load before, during and after a disturbance, as ratios to before: `make bench BENCH="--only pressure"`.

Each system gets half of its own peak. Each disturbance has an empty database. The figures, by second, are jobs finished
and the p99 of POST (open loop: a latency counts from when the request was due). After each disturbance every accepted
job must have ended once, with 14.0.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2

from common.command_line import command_line
from tests.benchmarks import measure, systems
from tests.benchmarks.disturbances import CONNECTIONS, DISTURBANCES, Disturbance, Scene
from tests.benchmarks.throughput import DRAIN_LIMIT_S, POSTGRES, Servers, answers, fresh, load
from tests.rig.background import BackgroundThread
from tools.servers import Postgres, Redis, free_port

BEFORE_S, AFTER_S = 10.0, 15.0
SHARE = 0.5  # of its own peak is offered to each system
Maker = Callable[[int, Mapping[str, str]], systems.System]


class Finished(BackgroundThread):
    """Counts the ended jobs each second."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene
        self._began = time.monotonic()
        self._seen: list[tuple[float, int]] = []

    def _run(self) -> None:
        while not self._done.wait(1.0):
            with suppress(psycopg2.Error):
                self._look()

    def _look(self) -> None:
        connection = self._scene.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not self._done.wait(1.0):
                cursor.execute(self._scene.system.progress or self._scene.system.finished)
                self._seen.append((time.monotonic() - self._began, cursor.fetchone()[1]))
        connection.close()

    def a_second(self, start_s: float, end_s: float) -> float:
        """Return the jobs that ended a second between two times."""
        inside = [sample for sample in self._seen if start_s <= sample[0] <= end_s]
        return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0]) if len(inside) > 1 else 0.0


def measure_disturbance(scene: Scene, disturbance: Disturbance, during_s: float) -> dict[str, float]:
    """Return the ratios of a disturbance, and how many jobs were lost or wrong."""
    end_s = BEFORE_S + during_s
    with Finished(scene) as finished, ThreadPoolExecutor(1) as beside:
        loading = beside.submit(load, scene.port, CONNECTIONS, end_s + AFTER_S, scene.peak_s * SHARE)
        time.sleep(BEFORE_S)
        disturbance(scene, during_s)
        loaded = loading.result()
    jobs, right = _settled(scene, int(loaded["accepted"]))

    def p99(start_s: float, until_s: float) -> float:
        return float(statistics.median(second["p99_ms"] for second in loaded["by_second"][int(start_s) : int(until_s)]))

    before, p99_before = finished.a_second(2, BEFORE_S), p99(2, BEFORE_S)
    return {
        "offered_s": scene.peak_s * SHARE,
        "during": finished.a_second(BEFORE_S, end_s) / before,
        "after": finished.a_second(end_s + 5, end_s + AFTER_S) / before,
        "p99_ms": p99_before,
        "p99_during": p99(BEFORE_S, end_s) / p99_before,
        "p99_after": p99(end_s + 5, end_s + AFTER_S) / p99_before,
        "slowest_s": max(second["max_ms"] for second in loaded["by_second"] if second["answered"]) / 1e3,
        "refused": loaded["refused"] + loaded["unanswered"],
        "lost": max(0.0, loaded["accepted"] - right),
        "not 14.0": jobs - right,
    }


def _settled(scene: Scene, at_least: int) -> tuple[int, int]:
    """Return the number of jobs and of right results, once all have ended or after a minute."""
    database = measure.Database(scene.url)
    try:
        measure.drained(database, scene.system.finished, at_least, 60.0)
    except RuntimeError as error:
        print(f"    {error}", flush=True)
    jobs, right, _, _ = database.row(scene.system.finished)
    database.close()
    return jobs, right


@contextmanager
def scene(make: Maker, servers: Servers, folder: Path, peak_s: float) -> Iterator[Scene]:
    """Start a system on an empty database."""
    postgres, redis = servers
    with fresh(postgres, redis, folder) as env:
        port = free_port()
        system = make(port, env)
        system.run(system.prepare)
        try:
            system.start("api", "worker", "others")
            measure.wait_until("the first job", lambda: answers(port))
            yield Scene(system, postgres, env["DATABASE_URL"], port, peak_s)
        finally:
            system.end()


def peak(there: Scene, seconds: float) -> float:
    """Return the peak of a system: jobs that it accepts and finishes a second."""
    began = time.time()
    loaded = load(there.port, CONNECTIONS // 2, seconds)
    database = measure.Database(there.url)
    jobs, _, last = measure.drained(database, there.system.finished, int(loaded["accepted"]), DRAIN_LIMIT_S)
    database.close()
    return float(min(loaded["post_s"], jobs / (last - began)))


def makers(folder: Path, beside: Path | None) -> dict[str, Maker]:
    """Return the constructor of each system; `beside`: a file of further ones, or None."""
    made: dict[str, Maker] = {
        "jobproc": lambda port, env: systems.jobproc(port, folder, env),
        "seed": lambda port, env: systems.seed(port, folder, env),
    }
    for name, commands in systems.further(beside).items():
        made[name] = partial(_given, commands, folder)
    return made


def _given(commands: Mapping[str, Any], folder: Path, port: int, env: Mapping[str, str]) -> systems.System:
    return systems.given(commands, port, folder, env)


def measured(options: argparse.Namespace, folder: Path, servers: Servers) -> dict[str, dict[str, dict[str, float]]]:
    """Measure each disturbance with each system."""
    of, peaks = makers(folder, options.beside), {}
    for name in options.systems.split(","):
        with scene(of[name], servers, folder, 0.0) as there:
            peaks[name] = peak(there, 6.0)
        print(f"{name}: peak {peaks[name]:.0f}/s", flush=True)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for disturbance in options.disturbances.split(","):
        for name, peak_s in peaks.items():
            with scene(of[name], servers, folder, peak_s) as there:
                figures = measure_disturbance(
                    there,
                    DISTURBANCES[disturbance][0],
                    options.held if disturbance == "held" else DISTURBANCES[disturbance][1],
                )
            found.setdefault(disturbance, {})[name] = figures
            print(
                f"{disturbance} {name}: " + ", ".join(f"{key} {value:.3g}" for key, value in figures.items()),
                flush=True,
            )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and return the exit code. `arguments`: None reads the command line."""
    parser = command_line("tests.benchmarks.run --only pressure", __doc__)
    parser.add_argument("--systems", default="jobproc,seed")
    parser.add_argument(
        "--beside",
        type=Path,
        help="a JSON file of further systems: their commands and SQL, as `systems.given` takes them",
    )
    parser.add_argument("--disturbances", default=",".join(DISTURBANCES))
    parser.add_argument(
        "--held", type=float, default=DISTURBANCES["held"][1], help="seconds for which the transaction is held"
    )
    parser.add_argument("--out", default="bench-pressure.json")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="jobproc-pressure-"))
    folder.chmod(0o755)
    postgres = Postgres(folder / "postgres", folder / "postgres.log", options={**POSTGRES, "max_connections": "500"})
    redis = Redis(folder / "redis", folder / "redis.log")
    try:
        postgres.start()
        redis.start()
        found = measured(options, folder, (postgres, redis))
    finally:
        redis.stop()
        postgres.stop()
    Path(options.out).write_text(json.dumps({"cores": os.cpu_count(), "found": found}, indent=1))
    return 0
