"""The system under test of `--only limits`, and its figures."""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx
import psutil

from common.settings import Settings
from tests.benchmarks import systems
from tests.benchmarks.disturbances import Scene
from tests.benchmarks.measure import wait_until
from tests.benchmarks.pressure import scene
from tests.benchmarks.throughput import Servers

OPERATIONS = os.pathsep.join(str(systems.ROOT / folder) for folder in (".", "clients/python/src", "tests/operations"))
NOOP = b'{"data":[1],"operation":"noop"}'


@dataclass(frozen=True)
class Figure:
    """A value with an optional bound."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        """True if the value is within its bound."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def bound(self) -> str:
        """The bound as text."""
        sides = (("≥", self.at_least), ("≤", self.at_most))
        return " ".join(f"{sign} {limit:,.4g}" for sign, limit in sides if limit is not None)


def table(found: Mapping[str, Sequence[Figure]]) -> str:
    """Return the figures as a table, a row a figure."""
    rows = ["| measurement | figure | value | bound | |", "|---|---|---|---|---|"]
    for name, figures in found.items():
        rows += [
            f"| {name} | {figure.name} | {figure.value:,.4g} | {figure.bound} | {'' if figure.holds else 'BROKEN'} |"
            for figure in figures
        ]
    return "\n".join(rows)


@dataclass(frozen=True)
class Stage:
    """The servers and options of a benchmark."""

    servers: Servers
    folder: Path
    options: argparse.Namespace

    @cached_property
    def settings(self) -> Settings:
        """The settings of every process: defaults and the environment."""
        return Settings.from_env(os.environ)

    @contextmanager
    def scene(self, processes: int = 2) -> Iterator[Scene]:
        """Start everything on an empty database, with the operations of the tests and `processes` worker processes."""
        with scene(
            lambda port, env: systems.jobproc(
                port, self.folder, {**env, "PYTHONPATH": OPERATIONS}, processes=processes
            ),
            self.servers,
            self.folder,
            0.0,
        ) as there:
            wait_until("the operations of the tests", lambda: answer(there.port, "/jobs/", NOOP).status_code == 202)
            yield there

    def body(self, name: str, body: bytes) -> str:
        """Write a request body to a file for the load generator and return its path."""
        path = self.folder / name
        path.write_bytes(body)
        return str(path)


def answer(port: int, path: str, body: bytes) -> httpx.Response:
    """Post a JSON body and return the answer."""
    return httpx.post(
        f"http://127.0.0.1:{port}{path}", content=body, headers={"Content-Type": "application/json"}, timeout=60
    )


def peaks_mib(there: Scene) -> dict[str, float]:
    """Return the peak memory (RSS) in MiB of the API and of the largest worker process."""
    worker = psutil.Process(there.system.processes["worker0"].pid)
    return {
        "API": _peak_mib(there.system.processes["api0"].pid),
        "worker": max(_peak_mib(process.pid) for process in worker.children()),
    }


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def batch(operation: str, data: Sequence[float], jobs: int) -> bytes:
    """Return the body of POST /jobs/batch for `count` equal jobs."""
    return json.dumps([{"data": list(data), "operation": operation}] * jobs, separators=(",", ":")).encode()
