"""`python -m worker`: what it refuses to start with, and how it says so."""

import subprocess
import sys
from pathlib import Path

import pytest
from rig.fork_server import ROOT
from rig.system import System, until


def _refused(system: System, *arguments: str, path: Path | None = None, **environ: str) -> str:
    """Start a worker that must end by itself, not with 0, and return the one sentence that it says."""
    env = {**system.env, **environ}
    if path is not None:
        env["PYTHONPATH"] = f"{env['PYTHONPATH']}:{path}"
    ended = subprocess.run([sys.executable, "-m", "worker", *arguments], cwd=system.folder, env=env, capture_output=True, text=True, timeout=20, check=False)
    said = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert ended.returncode not in (0, None), ended.stderr
    assert len(said) == 1, ended.stderr
    assert said[0].startswith("worker: ")
    assert not system.database.one("SELECT count(*) FROM workers")
    return said[0]


@pytest.mark.parametrize("queues", [",", "default,../x"])
def test_bad_names_of_queues_are_refused_with_what_is_expected(system: System, queues: str) -> None:
    said = _refused(system, f"--queues={queues}")
    assert "--queues" in said
    assert "a-z" in said


@pytest.mark.parametrize("number", ["0", "257"])
def test_a_bad_number_of_processes_is_refused_with_what_is_expected(system: System, number: str) -> None:
    said = _refused(system, f"--concurrency={number}")
    assert "--concurrency" in said
    assert "1 to 256" in said


def test_a_number_of_processes_that_is_no_number_is_refused(system: System) -> None:
    """By argparse, with its usage before the sentence."""
    ended = subprocess.run(
        [sys.executable, "-m", "worker", "--concurrency", "many"], cwd=ROOT, env=system.env, capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 2
    assert "invalid int value: 'many'" in ended.stderr.splitlines()[-1]


def _package(folder: Path, module: str, code: str | None) -> Path:
    """Install a third party's package of operations into a folder."""
    made = folder / f"{module}-1.0.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text(f"[jobproc.operations]\nmine = {module}\n")
    if code is not None:
        (folder / f"{module}.py").write_text(code)
    return folder


HEADER = "from worker.operations import Numbers, operation\n"
BROKEN = {
    "it is not there": None,
    "it needs what is not there": "import a_package_that_nobody_has\n",
    "it is not Python": "def (:\n",
    "it raises": "raise RuntimeError('no license')\n",
    "an operation has a bad name": HEADER + "@operation('Bad Name')\ndef f(n: Numbers) -> int:\n    return 1\n",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_package_of_operations_is_named(system: System, kind: str, tmp_path: Path) -> None:
    """Better not to start than to fail jobs of operations that are believed to be there."""
    _refused(system, path=_package(tmp_path / "site", "broken_operations", BROKEN[kind]))


@pytest.mark.parametrize("name", ["square_sum", "noop"], ids=["one of the built-in", "one of another package"])
def test_two_operations_of_one_name_are_refused_by_name(system: System, name: str, tmp_path: Path) -> None:
    code = HEADER + f"@operation('{name}')\ndef mine(numbers: Numbers) -> int:\n    return 1\n"
    assert f"'{name}'" in _refused(system, path=_package(tmp_path / "site", "more_operations", code))


def test_a_package_by_entry_point_brings_its_operations_along(system: System, tmp_path: Path) -> None:
    """Its module may import the decorator and others' operations without registering them twice."""
    code = HEADER + "from worker.operations.power_sums import square_sum\n@operation('mine')\ndef mine(n: Numbers) -> float:\n    return square_sum(n) + 1\n"
    site = _package(tmp_path / "site", "more_operations", code)
    system.env["PYTHONPATH"] += f":{site}"
    system.worker(concurrency=1).api()
    assert system.wait(system.submit("mine", 1, 2, 3))["result"] == 15.0
    assert "mine" in system.database.one("SELECT operations FROM workers LIMIT 1")


def test_bad_settings_are_listed_all_at_once(system: System) -> None:
    said = _refused(system, JOBPROC_LEASE_SECONDS="-1", JOBPROC_TICK_SECONDS="soon", REDIS_URL="http://127.0.0.1")
    assert all(name in said for name in ("JOBPROC_LEASE_SECONDS", "JOBPROC_TICK_SECONDS", "REDIS_URL"))


def test_a_heartbeat_longer_than_half_a_lease_is_refused(system: System) -> None:
    assert "JOBPROC_HEARTBEAT_SECONDS" in _refused(system, JOBPROC_LEASE_SECONDS="5", JOBPROC_HEARTBEAT_SECONDS="3")


def test_failpoints_are_refused_in_production(system: System) -> None:
    assert "JOBPROC_FAILPOINTS" in _refused(system, JOBPROC_ENVIRONMENT="production", JOBPROC_FAILPOINTS="run.before_effect=kill")


def test_what_it_runs_with_is_logged_without_passwords(system: System) -> None:
    system.env["REDIS_URL"] = system.env["REDIS_URL"].replace("redis://", "redis://:secret-word@")
    system.spawn("worker", "worker", "--queues", "default, slow", "--concurrency", "1")
    (event,) = until("it says what it runs with", lambda: system.events("worker", "starting"))
    assert event["queues"] == ["default", "slow"]
    assert event["concurrency"] == 1
    assert "secret-word" not in system.log("worker")
    assert ":***@" in event["settings"]["redis_url"]
