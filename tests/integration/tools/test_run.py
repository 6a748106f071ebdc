"""`make run` from the command line: its first job, its errors, its end."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rig.checkout import open_folder
from rig.fork_server import ROOT
from rig.system import until

from tools.servers import free_port


class Runs:
    """Starts `make run` in a folder and records the processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, port: int, *options: str, **env: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "tools.run", "--folder", str(self.folder), "--port", str(port), *options]
        environ = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        run = subprocess.Popen(
            argv, cwd=ROOT, env={**environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.started.append(run)
        return run


@pytest.fixture
def runs() -> Iterator[Runs]:
    with open_folder("run") as folder:
        started_runs = Runs(folder / "local")
        yield started_runs
        for run in started_runs.started:
            if run.poll() is None:
                run.send_signal(signal.SIGINT)
            run.communicate(timeout=30)


def _wait_until_serving(run: subprocess.Popen[str]) -> str:
    """Return the output of a run up to its last line of instructions; fail if the run ends before."""
    assert run.stdout is not None
    output = ""
    for line in run.stdout:
        output += line
        if "Ctrl-C ends it" in line:
            return output
    raise AssertionError(output + (run.stderr.read() if run.stderr else ""))


def _descendants(pid: int) -> set[int]:
    listing = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    children = {int(child) for child in listing.split()}
    return children.union(*(_descendants(child) for child in children)) if children else set()


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_make_run_shows_its_first_job_and_ends_every_process_on_ctrl_c(runs: Runs) -> None:
    """Beside it another run in the same folder is refused in one sentence. A later one has the jobs of the first."""
    port = free_port()
    first = runs.start(port)
    output = _wait_until_serving(first)
    assert '"result": 14.0' in output
    job = re.search(r'"job_id": "([0-9a-f-]{36})"', output)
    assert job is not None
    base = f"http://127.0.0.1:{port}"
    assert "swagger-ui" in httpx.get(f"{base}/docs").text
    refused = runs.start(free_port())
    _, error = refused.communicate(timeout=30)
    assert refused.returncode == 1
    assert error == "run: `make run` already runs in this folder: end it with Ctrl-C first\n"
    processes = _descendants(first.pid)
    assert len(processes) >= 7  # PostgreSQL and its children, Redis, API, worker with two processes, controller
    first.send_signal(signal.SIGINT)
    assert first.wait(30) == 0
    until("every process has ended", lambda: not any(_alive(pid) for pid in processes))

    second = runs.start(port)
    _wait_until_serving(second)
    assert httpx.get(f"{base}/jobs/{job[1]}/result").json()["result"] == 14.0


def test_a_taken_port_is_refused_in_one_sentence(runs: Runs) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = runs.start(taken.getsockname()[1])
        _, error = refused.communicate(timeout=30)
    assert refused.returncode == 1
    assert re.fullmatch(r"run: port \d+ of 127\.0\.0\.1 is taken: .*\n", error)


def test_urls_of_the_environment_replace_the_embedded_servers(
    runs: Runs, empty_database_url: str, redis_url: str
) -> None:
    run = runs.start(
        free_port(),
        "--once",
        DATABASE_URL=empty_database_url.replace("postgresql://", "postgresql+psycopg2://"),
        REDIS_URL=redis_url,
    )
    output, error = run.communicate(timeout=60)
    assert run.returncode == 0, error
    assert '"result": 14.0' in output
    assert "starting PostgreSQL" not in output
    assert "starting Redis" not in output
    assert not (runs.folder / "postgres").exists()


def test_the_log_of_a_failed_child_is_shown(runs: Runs, empty_database_url: str, redis_url: str) -> None:
    run = runs.start(free_port(), DATABASE_URL=empty_database_url, REDIS_URL=redis_url, JOBPROC_LEASE_SECONDS="1")
    _, error = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "migrate ended with code 1" in error
    assert "JOBPROC_HEARTBEAT_SECONDS must be at most half of JOBPROC_LEASE_SECONDS" in error


def test_with_authentication_a_key_is_made_printed_and_kept_and_the_printed_command_works(runs: Runs) -> None:
    port = free_port()
    first = runs.start(port, "--auth")
    output = _wait_until_serving(first)
    assert '"result": 14.0' in output
    assert "authentication is off" not in output
    key = (runs.folder / "api-key").read_text().strip()
    assert f"{key} (with every scope; kept in " in output
    base = f"http://127.0.0.1:{port}"
    assert httpx.get(f"{base}/stats").status_code == 401
    (command,) = re.findall(r"^ +try it +(curl .*)$", output, re.MULTILINE)
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30).stdout
    assert '"status":"PENDING"' in answer
    assert key not in "".join(log.read_text(errors="replace") for log in (runs.folder / "log").glob("*.log"))
    first.send_signal(signal.SIGINT)
    assert first.wait(30) == 0

    again, _ = runs.start(port, "--auth", "--once").communicate(timeout=60)
    assert '"result": 14.0' in again
    assert (runs.folder / "api-key").read_text().strip() == key
