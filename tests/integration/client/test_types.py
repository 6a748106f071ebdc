"""mypy and pyright know the inputs and results of the client: of what it reads, and of proxies of operations."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SDK = ROOT / "clients" / "python" / "src"

TYPED = """
from datetime import date
from pydantic import BaseModel
from typing_extensions import assert_type
from jobproc import AsyncClient, Client, Context, operation, remote
from jobproc.client import AsyncJob, Job

class Email(BaseModel):
    to: str

class Receipt(BaseModel):
    message_id: str

@operation(name="acme.send")
def send(email: Email, job: Context) -> Receipt:
    return Receipt(message_id=job.job_id)

@operation(name="acme.fetch")
async def fetch(url: str) -> int:
    return 1

@remote("acme.resize")
def resize(path: str, width: int = 200) -> list[date]:
    raise NotImplementedError

def use(client: Client) -> None:
    assert_type(remote(send).submit(Email(to="a")), Job[Receipt])
    assert_type(remote(send)(Email(to="a")), Receipt)
    assert_type(remote(fetch)("u"), int)
    assert_type(resize("a", width=3), list[date])
    assert_type(resize.options(priority=0).submit("a").result(), list[date])
    assert_type(client.submit(resize, "a", width=2), Job[list[date]])
    assert_type(client.run(resize, "a"), list[date])
    assert_type([job.result() for job in client.map(resize, ["a"])], list[list[date]])
    assert_type(client.get("1").attempt, int)
    assert_type(client.queues.get("a").paused, bool)
    assert_type(send(Email(to="a"), NotImplemented), Receipt)
    with client.batch() as batch:
        assert_type(batch.submit(resize, "a"), Job[list[date]])

async def use_async(client: AsyncClient) -> None:
    proxy = resize.using(client)
    assert_type(await proxy.submit("a"), AsyncJob[list[date]])
    assert_type(await proxy("a"), list[date])
    assert_type((await client.get("1")).attempt, int)
    assert_type((await client.queues.get("a")).paused, bool)
    assert_type([job.job_id async for job in client.list()], list[str])
"""
WRONG = (
    "remote(send).submit(1)",
    'resize.submit("a", breadth=3)',
    "resize.submit()",
    "resize.options(prio=0)",
    'Client().submit("acme.send", {}, prio=1)',
)


def check(program: list[str], file: Path) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).parent / program[0]), *program[1:], file.name]
    env = {"MYPYPATH": str(SDK), "PYTHONPATH": str(SDK), "PATH": "/usr/bin:/bin", "HOME": str(file.parent)}
    return subprocess.run(argv, cwd=file.parent, capture_output=True, text=True, check=False, env=env)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_know_input_and_result(checker: str, tmp_path: Path) -> None:
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"extraPaths": [str(SDK)], "typeCheckingMode": "standard", "failOnWarnings": False})
    )
    program = ["mypy", "--strict"] if checker == "mypy" else ["basedpyright", "--pythonpath", sys.executable]
    good = tmp_path / "good.py"
    good.write_text(TYPED)
    found = check(program, good)
    assert found.returncode == 0, found.stdout + found.stderr
    bad = tmp_path / "bad.py"
    bad.write_text(TYPED + "\n".join(WRONG) + "\n")
    first = len(TYPED.splitlines()) + 1
    found = check(program, bad)
    lines = {number for number in range(first, first + 5) if f"bad.py:{number}:" in found.stdout}
    assert lines == set(range(first, first + 5)), found.stdout


def test_the_client_and_its_http_library_are_imported_when_they_are_used() -> None:
    program = (
        "import sys, jobproc, jobproc.testing\n"
        "assert not [name for name in sys.modules if name.startswith(('jobproc.client', 'httpx2'))]\n"
        "jobproc.Client\n"
        "assert 'httpx2' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(SDK)}, check=True)
