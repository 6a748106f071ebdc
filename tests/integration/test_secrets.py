"""Secrets: none of them in an environment, an argument, a log, a trace, an answer or an error that anyone can read."""

import re
import subprocess
from collections.abc import Callable, Iterator

import pytest
from rig.collector import HttpCollector
from rig.scrape import MetricsPage
from rig.settings import ROLE_PREFIX
from rig.system import System, until

from tools.servers import Redis

DATABASE, REDIS, KEY, ROLE, LIBPQ = "c4n4ryDATABASE", "c4n4ryREDIS", "c4n4ryKEY", "c4n4ryROLE", "c4n4ryLIBPQ"
CANARY = re.compile("c4n4ry", re.IGNORECASE)
#: The interpreter reads it, so the process is started by `python -m` and has an environment of its own in /proc.
STARTED = {"PYTHONHASHSEED": "0"}
PARTS = ("api", "worker", "controller")


@pytest.fixture
def guarded(make_system: Callable[..., System], database_url: str, own_redis: Redis) -> System:
    """Return a system whose every secret has the canary's name. PostgreSQL trusts its roles, so any password is right.

    A test with a password that PostgreSQL checks is test_rotation.py.
    """
    for part in PARTS:
        own_redis.client.acl_setuser(part, enabled=True, passwords=[f"+{REDIS}"])
    return make_system(database_url, own_redis.url, JOBPROC_CURSOR_KEY=KEY, PGPASSWORD=LIBPQ, **STARTED)


def variables(system: System, part: str) -> dict[str, str]:
    """Return the URLs of a part, with passwords."""
    database = system.env["DATABASE_URL"].replace("postgres@", f"{ROLE_PREFIX}_{part}:{DATABASE}@")
    return {
        "DATABASE_URL": database,
        "REDIS_URL": system.env["REDIS_URL"].replace("127.0.0.1", f"{part}:{REDIS}@127.0.0.1"),
    }


def files(system: System, part: str) -> dict[str, str]:
    """Return the same as files."""
    named = {"DATABASE_URL": "", "REDIS_URL": ""}
    for name, value in variables(system, part).items():
        path = system.folder / f"{part}.{name}"
        path.write_text(f"{value}\n")
        named[f"{name}_FILE"] = str(path)
    return named


@pytest.mark.parametrize("given", [variables, files])
def test_an_operation_finds_no_secret_in_any_environment_and_keeps_its_own_variables(
    guarded: System, given: Callable[[System, str], dict[str, str]]
) -> None:
    guarded.env["OWN_VARIABLE"] = "kept"
    for part in ("api", "worker"):
        getattr(guarded, part)(**given(guarded, part))
    found = guarded.wait(guarded.submit("read_environment", 1))["result"]
    assert found["own variable"] == "kept"
    assert "OWN_VARIABLE=kept" in found["child"]
    seen = [name for name, text in found.items() if CANARY.search(text)]
    assert not seen
    assert "OWN_VARIABLE=kept" in found["self environ"], "what the process was started with is read here"
    parent = str(guarded.processes["worker"].pid)
    assert "OWN_VARIABLE=kept" in found[f"{parent} environ"]
    assert "-m\0worker" in found[f"{parent} cmdline"]


#: By name: settings with which a process cannot work.
WRONG = {
    "unreachable": {"DATABASE_URL": f"postgresql://u:{DATABASE}@127.0.0.1:1/db"},
    "refused": {"DATABASE_URL": ""},  # replaced by that of a role that does not exist
    "settings": {"JOBPROC_LEASE_SECONDS": "x", "DATABASE_URL": f"postgresql//u:{DATABASE}@h"},
    "parameter": {"DATABASE_URL": f"postgresql://u:{DATABASE}@h/db?sslmod={DATABASE}", "REDIS_URL": f"x{REDIS}"},
    "file": {"DATABASE_URL_FILE": f"postgresql://u:{DATABASE}@h", "DATABASE_URL": ""},
}


def _use(system: System) -> Iterator[str]:
    """Run jobs that end in each way; yield what clients read."""
    jobs = [system.submit(operation, 1) for operation in ("square_sum", "fail_times", "rude_error", "read_environment")]
    yield from (str(system.wait(job)) for job in jobs)
    paths = ["/docs", "/openapi.json", "/jobs", "/jobs?limit=1", "/stats", "/operations"]
    paths += [f"/jobs/{job}/{part}" for job in jobs for part in ("explain", "result")]
    yield from (system.client.get(path).text for path in paths)


def _start_wrongly(system: System) -> None:
    """Start processes that cannot work, and wait until they have said why."""
    roles = {"JOBPROC_DATABASE_ROLES": ROLE_PREFIX, "JOBPROC_API_DATABASE_PASSWORD": ROLE}
    limits = {"JOBPROC_STARTUP_MAX_WAIT_SECONDS": "0.5", **roles}
    for name, settings in WRONG.items():
        known = variables(system, "nobody" if name == "refused" else "worker")
        wrong = known if name == "refused" else {**known, **settings}
        for module in ("common.migrate", "worker.controller"):
            system.spawn(f"{name} {module}", module, **{**limits, **wrong})
    waiting = "unreachable worker.controller"  # an outage ends no process
    ending = [process for name, process in system.processes.items() if " " in name and name != waiting]
    until("they have ended", lambda: all(process.poll() == 1 for process in ending), 40)
    until("one waits", lambda: "startup_waiting" in system.log(waiting))


@pytest.fixture
def collector() -> Iterator[HttpCollector]:
    collector = HttpCollector()
    yield collector
    collector.close()


def test_no_process_prints_exports_or_answers_a_secret(guarded: System, collector: HttpCollector) -> None:
    """Neither while all is well nor while a server, a login or a setting is wrong."""
    page = MetricsPage()
    for part in PARTS:
        port = str(page.port) if part == "api" else "0"
        getattr(guarded, part)(**variables(guarded, part), **collector.settings, JOBPROC_METRICS_PORT=port)
    answers = [*_use(guarded), page.text()]
    lines = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    _start_wrongly(guarded)
    guarded.end("api")  # exports its last spans
    logs = {name: guarded.log(name) for name in guarded.processes}
    assert all(logs.values())
    assert not [name for name, log in logs.items() if CANARY.search(log)]
    assert not [answer for answer in answers if CANARY.search(answer)]
    assert not [line for line in lines.splitlines() if CANARY.search(line)]
    assert collector.bodies
    assert not [body for body in collector.bodies if CANARY.search(body.decode(errors="replace"))]
    assert ":***@" in guarded.log("api"), "the settings are in the log, and masked"
