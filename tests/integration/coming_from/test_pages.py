"""The pages of docs/coming-from: the code of both sides runs and gives the same, and the commands are accepted."""

import re
import sys
import types
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from integration.batches.test_howto import request_of
from procrastinate import App
from procrastinate.testing import InMemoryConnector
from rig.packages import add_package
from rig.system import System, until
from temporalio.testing import ActivityEnvironment

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "coming-from"
BLOCK = re.compile(r"^```python\n# (\w+): (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HELLO = "Hello to ada@example.com"


class Example:
    """The code of a page by its side and its place."""

    def __init__(self, name: str) -> None:
        self.text = (FOLDER / f"{name}.md").read_text()
        self.name = name
        self.code = {(side, place): code for side, place, code in BLOCK.findall(self.text)}
        self.commands = re.findall(r"^curl .*$", self.text, re.MULTILINE)
        assert len(self.code) == self.text.count("```python")

    def run(self, place: str, namespace: dict[str, Any], **replaced: str) -> dict[str, Any]:
        """Run a block of the other system's code."""
        code = self.code[self.name, place]
        for old, new in replaced.items():
            assert old in code
            code = code.replace(old, new)
        exec(compile(code, place, "exec"), namespace)  # noqa: S102 - the code of the page
        return namespace

    def module(self, name: str) -> types.ModuleType:
        """Import a block of the other system's code as a module."""
        module = types.ModuleType(name)
        self.run(f"{name}.py", module.__dict__)
        return module


def ours(system: System, page: Example) -> list[dict[str, Any]]:
    """Run the operations of a page and all its commands. Return the jobs that they submitted, as they ended."""
    places = [place for side, place in page.code if side == "jobproc"]
    code = "\n".join(page.code["jobproc", place] for place in places)
    add_package(system, "acme", code)
    system.all()
    jobs: list[dict[str, Any]] = []
    for command in page.commands:
        response = system.client.request(**request_of(command), timeout=40)
        assert response.status_code in (200, 202), (command, response.text)
        answer = response.json()
        jobs += [system.wait(job_id) for job_id in answer.get("job_ids") or [answer["job_id"]]]
    assert {job["status"] for job in jobs} == {"SUCCESS"}
    return jobs


def test_celery(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    page = Example("celery")
    namespace = page.run("tasks.py", {"__name__": "tasks"})
    app: Celery = namespace["app"]
    app.conf.update(task_always_eager=True, task_store_eager_result=False, broker_url="memory://", result_backend=None)
    page.run("call", namespace)
    page.run("chord", namespace)
    single, *_, report = ours(system, page)
    assert capsys.readouterr().out.splitlines() == [single["result"], str(report["result"])]
    assert (single["result"], report["result"]) == (f"{HELLO}, attempt 1", 2)


def test_rq(
    system: System, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Example("rq")
    monkeypatch.setitem(sys.modules, "tasks", page.module("tasks"))
    page.run("call", {}, **{"connection=Redis()": f"connection=Redis.from_url({redis_url!r}), is_async=False"})
    (job,) = ours(system, page)
    assert capsys.readouterr().out.strip() == job["result"] == HELLO


def test_procrastinate(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    page = Example("procrastinate")
    namespace = page.run("tasks.py", {"__name__": "tasks"})
    app: App = namespace["app"]
    with ExitStack() as stack:
        stack.enter_context(app.replace_connector(InMemoryConnector()))
        page.run("call", namespace)
        app.run_worker(wait=False, install_signal_handlers=False)
    (job,) = ours(system, page)
    assert capsys.readouterr().out.strip() == f"{HELLO}, attempt 1"
    logs = f"/jobs/{job['job_id']}/logs"
    until("the line is stored", lambda: f"{HELLO}, attempt 1" in system.client.get(logs).text)


def test_temporal(system: System) -> None:
    """Its workflow is defined, which checks it; running it would need Temporal's server."""
    page = Example("temporal")
    namespace = page.module("activities").__dict__
    (job,) = ours(system, page)
    assert ActivityEnvironment().run(namespace["send"], "ada@example.com", "Hello") == job["result"]
    assert job["result"] == f"{HELLO}, attempt 1"


def test_each_system_has_a_page_that_says_when_to_stay() -> None:
    names = {path.stem for path in FOLDER.glob("*.md")} - {"README"}
    assert names == {"celery", "rq", "procrastinate", "temporal"}
    for name in names:
        assert re.search(r"^## Stay with ", Example(name).text, re.MULTILINE)
        assert f"]({name}.md)" in (FOLDER / "README.md").read_text()
