"""The pytest plugin of the package `jobproc`, in sessions of pytest of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rig.fork_server import ROOT, SDK
from rig.keys import REQUIRED, new_key
from rig.packages import write_package
from rig.system import System, until

from jobproc.testing.server import Server, ServerError

OPERATIONS = """
import asyncio
from jobproc import Context, operation

@operation(name="acme.greet", base_seconds=2.0)
async def greet(name: str, job: Context) -> str:
    await asyncio.sleep(0)
    if not name:
        raise ValueError("no name")
    await job.submit_async("acme.greet", {"name": "again"})
    return f"hello {name}"
"""
TESTS = """
import asyncio
from jobproc.testing import Retries, Succeeded
from acme_ops import greet

def test_run(jobproc_run):
    assert jobproc_run(greet, {"name": "Ada"}).result == "hello Ada"
    assert [job.input for job in jobproc_run.submitted] == [{"name": "again"}]
    outcome = jobproc_run(greet, {"name": ""})
    assert isinstance(outcome, Retries) and outcome.after_seconds == 1.0
    assert isinstance(asyncio.run(jobproc_run.arun(greet, {"name": "Ada"})), Succeeded)
    assert len(jobproc_run.submitted) == 2

def test_nothing_is_submitted_yet(jobproc_run):
    assert not jobproc_run.submitted
"""
SERVER_TESTS = """
import pytest
from jobproc.testing.server import ServerError

def test_a_job(jobproc_server):
    job_id = jobproc_server.submit("acme.square", {"number": 3}, tags=["a"])
    assert jobproc_server.result(job_id) == 9
    assert jobproc_server.wait(job_id)["tags"] == ["a"]

def test_another_job_of_the_same_system(jobproc_server):
    job_id = jobproc_server.submit("acme.square", {"number": -1}, max_attempts=1)
    with pytest.raises(ServerError, match="ended FAILED.*no root"):
        jobproc_server.result(job_id)
    with pytest.raises(ServerError, match="422"):
        jobproc_server.submit("acme.square", {"number": "three"})
    print("URL", jobproc_server.url)
"""
SQUARE = """
from jobproc import operation

@operation(name="acme.square")
def square(number: int) -> int:
    if number < 0:
        raise ValueError("no root")
    return number * number
"""


def run_pytest(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder, as a project that has installed the package and with it the plugin would."""
    ours = ("JOBPROC_", "PYTEST_", "PYTHONPATH", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:schemathesis", "-q", "-rs", "-s", *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": f"{ROOT / SDK}:{folder / 'packages'}", **variables},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_plugin_runs_operations_and_keeps_what_they_submit(tmp_path: Path) -> None:
    write_package(tmp_path / "packages", "acme_ops", OPERATIONS)
    (tmp_path / "test_acme.py").write_text(TESTS)
    ran = run_pytest(tmp_path, "-n", "2")
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_without_a_server_its_tests_are_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "test_acme.py").write_text(SERVER_TESTS)
    ran = run_pytest(tmp_path)
    assert "2 skipped" in ran.stdout, ran.stdout + ran.stderr
    assert "no jobproc server: set JOBPROC_REPOSITORY to a folder with its repository" in ran.stdout


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"JOBPROC_REPOSITORY": "/nowhere"}, "JOBPROC_REPOSITORY=/nowhere: there is no repository of jobproc"),
        ({"JOBPROC_URL": "http://127.0.0.1:9"}, "JOBPROC_URL=http://127.0.0.1:9: no jobproc is ready there"),
    ],
)
def test_a_server_that_is_named_but_not_there_is_an_error(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    (tmp_path / "test_acme.py").write_text(SERVER_TESTS)
    ran = run_pytest(tmp_path, **variables)
    assert "2 errors" in ran.stdout
    assert said in ran.stdout


def test_a_system_that_runs_already_may_need_a_key(system: System) -> None:
    system.api(**REQUIRED)
    url = f"http://127.0.0.1:{system.port}"
    with_key = Server(url, new_key(system.database))
    assert with_key.job(with_key.submit("square_sum", {"data": [1, 2]}))["status"] == "PENDING"
    with pytest.raises(ServerError, match="POST /jobs/: 401: "):
        Server(url).submit("square_sum", {"data": [1, 2]})


def test_one_system_a_session_runs_the_operations_of_the_tests_and_ends_with_it(tmp_path: Path) -> None:
    write_package(tmp_path / "packages", "acme_square", SQUARE)
    (tmp_path / "test_acme.py").write_text(SERVER_TESTS)
    ran = run_pytest(tmp_path, "--basetemp", str(tmp_path / "temporary"), JOBPROC_REPOSITORY=str(ROOT))
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
    assert (tmp_path / "temporary" / "jobproc0" / "run.log").read_text().count("serving on") == 1
    port = ran.stdout.partition("URL http://127.0.0.1:")[2].split()[0]
    until("the system has ended", lambda: f"--port\0{port}" not in "".join(command_lines()))


def command_lines() -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_text())
        except OSError:
            continue
    return found


def test_the_example_of_the_guide_passes(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "howto" / "test-your-operations.md").read_text()
    (tmp_path / "test_example.py").write_text(page.partition("```python\n")[2].partition("```\n")[0])
    ran = run_pytest(tmp_path)
    assert "4 passed" in ran.stdout, ran.stdout + ran.stderr
