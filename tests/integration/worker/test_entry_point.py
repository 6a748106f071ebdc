"""`python -m worker`: arguments, settings and packages that it refuses, and its error messages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rig.system import System, until


def _refusal(system: System, *arguments: str, path: Path | None = None, **environ: str) -> str:
    """Start a worker that must end by itself with an error; return its only line of text."""
    if path is not None:
        environ["PYTHONPATH"] = f"{system.env['PYTHONPATH']}:{path}"
    process = system.spawn("worker", "worker", *arguments, **environ)
    code, log = process.wait(20), system.log("worker")
    lines = [line for line in log.splitlines() if not line.startswith("{")]
    assert code != 0, log
    assert len(lines) == 1, log
    assert lines[0].startswith("worker: ")
    assert not system.database.value("SELECT count(*) FROM workers")
    return lines[0]


@pytest.mark.parametrize("queues", [",", "default,../x"])
def test_invalid_queue_names_are_refused_with_the_allowed_characters(system: System, queues: str) -> None:
    message = _refusal(system, f"--queues={queues}")
    assert "--queues" in message
    assert "a-z" in message


@pytest.mark.parametrize("number", ["0", "257"])
def test_an_invalid_concurrency_is_refused_with_the_allowed_range(system: System, number: str) -> None:
    message = _refusal(system, f"--concurrency={number}")
    assert "--concurrency" in message
    assert "1 to 256" in message


def test_a_concurrency_that_is_not_a_number_is_refused(system: System) -> None:
    """The error is that of argparse, with the usage before the message."""
    assert system.spawn("worker", "worker", "--concurrency", "many").wait(20) == 2
    assert "invalid int value: 'many'" in system.log("worker").splitlines()[-1]


def _package(folder: Path, module: str, code: str | None) -> Path:
    """Install a third-party package of operations into a folder."""
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[jobproc.operations]\nmine = {module}\n")
    if code is not None:
        (folder / f"{module}.py").write_text(code)
    return folder


HEADER = "from jobproc import operation\nfrom worker.operations.power_sums import Numbers\n"
BROKEN = {
    "a missing module": None,
    "a missing dependency": "import a_package_that_nobody_has\n",
    "a syntax error": "def (:\n",
    "an exception": "raise RuntimeError('no license')\n",
    "a call of exit()": "exit()\n",
    "no operation": HEADER + "def f(n: Numbers) -> int:\n    return 1\n",
    "an invalid operation name": HEADER + "@operation(name='Bad Name')\ndef f(n: Numbers) -> int:\n    return 1\n",
}


@pytest.mark.parametrize("defect", BROKEN)
def test_a_broken_package_of_operations_is_refused(system: System, defect: str, tmp_path: Path) -> None:
    """A worker without an expected operation would fail that operation's jobs, so it must not start."""
    message = _refusal(system, path=_package(tmp_path / "site", "broken_operations", BROKEN[defect]))
    assert "entry point 'mine' (broken_operations)" in message


def test_the_traceback_of_a_broken_package_is_logged_at_debug(system: System, tmp_path: Path) -> None:
    site = _package(tmp_path / "site", "broken_operations", "def leave():\n    exit(0)\nleave()\n")
    process = system.spawn("worker", "worker", PYTHONPATH=f"{system.env['PYTHONPATH']}:{site}")
    assert process.wait(20) == 1
    (entry,) = system.events("worker", "operations_refused")
    assert "in leave" in entry["exception"]


@pytest.mark.parametrize("name", ["square_sum", "noop"], ids=["built-in", "of another package"])
def test_two_operations_with_the_same_name_are_refused(system: System, name: str, tmp_path: Path) -> None:
    code = HEADER + f"@operation(name='{name}')\ndef mine(numbers: Numbers) -> int:\n    return 1\n"
    assert f"'{name}'" in _refusal(system, path=_package(tmp_path / "site", "more_operations", code))


def test_operations_of_a_package_with_an_entry_point_are_registered(system: System, tmp_path: Path) -> None:
    """The module may import the decorator and other operations without registering them twice."""
    code = (
        HEADER
        + "from worker.operations.power_sums import square_sum\n@operation(name='mine')\n"
        + "def mine(n: Numbers) -> float:\n    return square_sum(n) + 1\n"
    )
    site = _package(tmp_path / "site", "more_operations", code)
    system.env["PYTHONPATH"] += f":{site}"
    system.worker(concurrency=1).api()
    assert system.wait(system.submit("mine", 1, 2, 3))["result"] == 15.0
    assert "mine" in system.database.value("SELECT operations FROM workers LIMIT 1")


def test_all_invalid_settings_are_reported_at_once(system: System) -> None:
    message = _refusal(system, JOBPROC_LEASE_SECONDS="-1", JOBPROC_TICK_SECONDS="soon", REDIS_URL="http://127.0.0.1")
    assert all(name in message for name in ("JOBPROC_LEASE_SECONDS", "JOBPROC_TICK_SECONDS", "REDIS_URL"))


def test_a_heartbeat_longer_than_half_a_lease_is_refused(system: System) -> None:
    assert "JOBPROC_HEARTBEAT_SECONDS" in _refusal(system, JOBPROC_LEASE_SECONDS="5", JOBPROC_HEARTBEAT_SECONDS="3")


def test_failpoints_are_refused_in_production(system: System) -> None:
    assert "JOBPROC_FAILPOINTS" in _refusal(
        system, JOBPROC_ENVIRONMENT="production", JOBPROC_FAILPOINTS="attempt.before_operation=kill"
    )


def test_settings_are_logged_without_passwords(system: System) -> None:
    system.env["REDIS_URL"] = system.env["REDIS_URL"].replace("redis://", "redis://:secret-word@")
    system.spawn("worker", "worker", "--queues", "default, slow", "--concurrency", "1")
    (event,) = until("the settings are logged", lambda: system.events("worker", "starting"))
    assert event["queues"] == ["default", "slow"]
    assert event["concurrency"] == 1
    assert "secret-word" not in system.log("worker")
    assert ":***@" in event["settings"]["redis_url"]


def check(system: System, path: Path) -> "subprocess.CompletedProcess[str]":
    """Run `python -m worker --check` with a folder of packages, and without any setting."""
    env = {"PATH": system.env["PATH"], "PYTHONPATH": f"{system.env['PYTHONPATH']}:{path}"}
    argv = [sys.executable, "-m", "worker", "--check"]
    return subprocess.run(argv, cwd=path, env=env, capture_output=True, text=True, timeout=30, check=False)


def write_module(folder: Path, code: str) -> Path:
    """Write a package of one module, with its entry point."""
    metadata = folder / "checked-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: checked\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[jobproc.operations]\nchecked = checked\n")
    (folder / "checked.py").write_text(code)
    return folder


def test_a_check_lists_the_operations_and_the_queues_that_they_name(system: System, tmp_path: Path) -> None:
    code = (
        "from jobproc import operation\nprint('imported')\n"
        "@operation(queues=('mails', 'bulk'))\nasync def send() -> None: ...\n"
    )
    done = check(system, write_module(tmp_path / "packages", code))
    assert done.returncode == 0, done.stderr
    assert done.stderr == "imported\n", "stdout has JSON alone"
    found = json.loads(done.stdout)
    assert {"default", "mails", "bulk"} <= set(found["queues"])
    assert {
        "name": "checked.send",
        "queue": "mails",
        "queues": ["mails", "bulk"],
        "version": 1,
        "is_async": True,
        "module": "checked",
    } in found["operations"]


def test_a_check_shows_where_an_import_fails(system: System, tmp_path: Path) -> None:
    """A declaration that cannot work is an error of the package too."""
    path = write_module(tmp_path / "packages", "def fail():\n    raise KeyError('x')\n\n\nfail()\n")
    done = check(system, path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Traceback (most recent call last):\n"
        f'  File "{path}/checked.py", line 5, in <module>\n    fail()\n'
        f"  File \"{path}/checked.py\", line 2, in fail\n    raise KeyError('x')\n"
        "KeyError: 'x'\n"
        "worker: entry point 'checked' (checked) of the package 'checked': the import fails: KeyError: 'x'\n"
    )
    (path / "checked.py").write_text("from jobproc import operation\n@operation\ndef numbers():\n    yield 1\n")
    done = check(system, path)
    assert f'File "{path}/checked.py", line 2, in <module>' in done.stderr
    assert "/jobproc/" not in done.stderr.partition("worker: ")[0]
    (path / "checked.py").write_text("")
    done = check(system, path)
    assert done.stderr.startswith("worker: entry point 'checked'"), "no code has raised"
    assert done.returncode == 1
