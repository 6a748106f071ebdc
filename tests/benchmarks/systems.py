"""The measured systems: how to start, load and count each."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.domain.tenancy.api_keys import ApiKeyToken
from tests.benchmarks import measure
from tests.rig.pgbouncer import PgBouncer
from tools.servers import free_port, spawn, stop

ROOT = Path(__file__).resolve().parents[2]
PY = sys.executable
SAMPLERS = {"sampled-none": "parentbased_always_off", "sampled-all": "parentbased_always_on"}


def _uvicorn(app: str, port: int) -> list[str]:
    return [
        PY,
        "-m",
        "uvicorn",
        app,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
        "--log-level",
        "warning",
    ]


@dataclass
class System:
    """A system under measurement. One uvicorn process, two Celery processes."""

    name: str
    prepare: list[str]
    api: list[str]
    worker: list[str]
    others: list[list[str]]
    load: list[str]  #: command that submits a backlog; the number of jobs is appended
    finished: str  #: SQL: jobs, jobs with 14.0, Unix time of the first start, of the last finish
    folder: Path
    env: Mapping[str, str]
    progress: str = ""  #: SQL: about how many have ended, cheap at any table size; empty: use `finished`
    ran: str = "outcomes"  #: the table that has `started_at`
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, *parts: str) -> None:
        """Start parts: `api`, `worker` or others."""
        for part in parts:
            commands = self.others if part == "others" else [getattr(self, part)]
            for number, argv in enumerate(commands):
                self.processes[f"{part}{number}"] = spawn(
                    argv, self.folder / f"{self.name}-{part}.log", self.env, cwd=ROOT
                )

    def end(self, part: str | None = None) -> None:
        """Stop a part, or all."""
        ending = {name: process for name, process in self.processes.items() if part is None or name.startswith(part)}
        for process in ending.values():
            process.terminate()
        for name, process in ending.items():
            stop(process)
            del self.processes[name]

    def run(self, argv: list[str]) -> None:
        """Run a command and wait for its end."""
        done = subprocess.run(argv, env=dict(self.env), cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.stderr[-500:]}")


def jobproc(
    port: int,
    folder: Path,
    env: Mapping[str, str],
    name: str = "jobproc",
    others: Sequence[list[str]] = (),
    processes: int = 2,
) -> System:
    """Return jobproc as its users start it. `others`: further commands; `processes`: worker processes."""
    return System(
        name,
        [PY, "-m", "common.migrate"],
        [PY, "-m", "api", "--port", str(port)],
        [PY, "-m", "worker", "--queues", "default", "--concurrency", str(processes)],
        [*others, [PY, "-m", "worker.controller"]],
        [PY, "-m", "tests.benchmarks.backlog", str(port)],
        "SELECT (SELECT count(*) FROM jobs), count(*) FILTER (WHERE status = 'SUCCESS' AND result::text = '14.0'), "
        "extract(epoch FROM min(started_at)), extract(epoch FROM max(finished_at)) FROM outcomes",
        folder,
        {"JOBPROC_AUTHENTICATION": "off", **env},
        "SELECT 0, sum(n_tup_ins)::bigint FROM pg_stat_user_tables WHERE relname LIKE 'outcomes%'",
    )


def traced(port: int, folder: Path, env: Mapping[str, str], name: str) -> System:
    """Return jobproc with tracing on, sampling none or all of the jobs, and a collector that drops the spans."""
    sink = free_port()
    to = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink}", "OTEL_TRACES_SAMPLER": SAMPLERS[name]}
    return jobproc(port, folder, {**env, **to}, name, [[PY, "-m", "tests.benchmarks.sink", str(sink)]])


def keyed(port: int, folder: Path, env: Mapping[str, str]) -> System:
    """Return jobproc with authentication; its environment has the API key for its clients."""
    key = ApiKeyToken.generate().text
    return jobproc(
        port,
        folder,
        {**env, "JOBPROC_AUTHENTICATION": "required", "JOBPROC_FIRST_API_KEY": key, measure.API_KEY: key},
        "api-keys",
    )


@contextmanager
def pooled(folder: Path, env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the environment for the same database through PgBouncer in transaction mode."""
    url = urlsplit(env["DATABASE_URL"])
    assert url.port
    bouncer = PgBouncer(folder / "pgbouncer", url.port).start()
    try:
        yield {**env, "DATABASE_URL": bouncer.url(url.path.lstrip("/")), "JOBPROC_DATABASE_POOLER": "transaction"}
    finally:
        bouncer.stop()


def seed(port: int, folder: Path, env: Mapping[str, str]) -> System:
    """Return the baseline: Celery by hand."""
    module = "tests.benchmarks.seed"
    return System(
        "seed",
        [PY, "-m", module],
        _uvicorn(f"{module}:app", port),
        [PY, "-m", "celery", "-A", f"{module}:celery", "worker", "-c", "2", "--loglevel", "warning"],
        [],
        [PY, "-m", module],
        "SELECT count(*), count(*) FILTER (WHERE status = 'SUCCESS' AND result = 14.0), "
        "extract(epoch FROM min(started_at)), extract(epoch FROM max(finished_at)) FROM seed_jobs",
        folder,
        {**env, "C_FORCE_ROOT": "1"},
        ran="seed_jobs",
    )


def given(commands: Mapping[str, Any], port: int, folder: Path, env: Mapping[str, str]) -> System:
    """Return a system described by commands. `{port}` in them is the API's port; `env` is added to the environment."""

    def filled(name: str) -> list[str]:
        return [word.replace("{port}", str(port)) for word in commands.get(name, [])]

    prepare, finished = filled("prepare") or ["true"], str(commands["finished"])
    env = {**env, **commands.get("env", {})}
    return System(
        str(commands["name"]),
        prepare,
        filled("api"),
        filled("worker"),
        [],
        filled("load"),
        finished,
        folder,
        env,
        ran="jobs",
    )


def further(file: Path | None) -> dict[str, Mapping[str, Any]]:
    """Return the commands of further systems by name, from a file. None: no file, no systems."""
    return {str(commands["name"]): commands for commands in json.loads(file.read_text())} if file else {}


def made(name: str, port: int, folder: Path, env: Mapping[str, str], beside: Path | None) -> System:
    """Return a system by its name; `beside`: the file of further ones. Raises SystemExit for an unknown name."""
    if name == "seed":
        return seed(port, folder, env)
    if name in SAMPLERS:
        return traced(port, folder, env, name)
    if name == "api-keys":
        return keyed(port, folder, env)
    if name == "jobproc":
        return jobproc(port, folder, env)
    others = further(beside)
    if name not in others:
        raise SystemExit(f"--systems: {name} is not known, nor described in the file of --beside")
    return given(others[name], port, folder, env)


def bare(port: int, folder: Path) -> System:
    """Return the endpoint without I/O."""
    return System("bare", [], _uvicorn("tests.benchmarks.bare:app", port), [], [], [], "", folder, dict(os.environ))
