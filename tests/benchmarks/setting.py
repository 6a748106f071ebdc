"""Where an extreme is measured, and what a figure of it is."""

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
from tests.benchmarks.run import Servers

OPERATIONS = os.pathsep.join([str(systems.ROOT), str(systems.ROOT / "tests" / "operations")])
NOOP = b'{"data":[1],"operation":"noop"}'


@dataclass(frozen=True)
class Figure:
    """A value, and the bound that it must keep, if there is one."""

    name: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it keeps its bound."""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def bound(self) -> str:
        """The bound as it is printed."""
        sides = (("≥", self.least), ("≤", self.most))
        return " ".join(f"{sign} {limit:,.4g}" for sign, limit in sides if limit is not None)


def table(found: Mapping[str, Sequence[Figure]]) -> str:
    """Return the figures as a table, a row a figure."""
    rows = ["| extreme | figure | value | bound | |", "|---|---|---|---|---|"]
    for extreme, figures in found.items():
        rows += [f"| {extreme} | {one.name} | {one.value:,.4g} | {one.bound} | {'' if one.holds else 'BROKEN'} |" for one in figures]
    return "\n".join(rows)


@dataclass(frozen=True)
class Stage:
    """The servers of a run, and its options."""

    servers: Servers
    folder: Path
    options: argparse.Namespace

    @cached_property
    def settings(self) -> Settings:
        """The settings of every process: the defaults, and what the environment says."""
        return Settings.from_env(os.environ)

    @contextmanager
    def scene(self, processes: int = 2) -> Iterator[Scene]:
        """Start everything on an empty database, with the operations of the tests and a worker of so many processes."""
        with scene(
            lambda port, env: systems.jobproc(port, self.folder, {**env, "PYTHONPATH": OPERATIONS}, processes=processes), self.servers, self.folder, 0.0
        ) as there:
            wait_until("the operations of the tests", lambda: answer(there.port, "/jobs/", NOOP).status_code == 202)
            yield there

    def body(self, name: str, body: bytes) -> str:
        """Keep a body in a file for the load generator; returns its path."""
        path = self.folder / name
        path.write_bytes(body)
        return str(path)


def answer(port: int, path: str, body: bytes) -> httpx.Response:
    """Post a body of JSON and return what is answered."""
    return httpx.post(f"http://127.0.0.1:{port}{path}", content=body, headers={"Content-Type": "application/json"}, timeout=60)


def peaks_mib(there: Scene) -> dict[str, float]:
    """Return the most memory (RSS) that the API and the largest process of the worker ever had, in MiB."""
    worker = psutil.Process(there.system.processes["worker0"].pid)
    return {
        "API": _peak_mib(there.system.processes["api0"].pid),
        "worker": max(_peak_mib(one.pid) for one in worker.children()),
    }


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def batch(operation: str, data: Sequence[float], jobs: int) -> bytes:
    """Return the body of POST /jobs/batch for so many equal jobs."""
    return json.dumps([{"data": list(data), "operation": operation}] * jobs, separators=(",", ":")).encode()
