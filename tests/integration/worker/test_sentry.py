"""The example of Sentry in docs/howto/process-hooks.md, with a transport of its own in place of the network."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig.fork_server import ROOT
from rig.packages import add_package
from rig.system import System

from jobproc import hooks, operation
from jobproc.testing import Retries, run

PAGE = ROOT / "docs" / "howto" / "process-hooks.md"
TRANSPORT = """
import json, os
from functools import partial
from pathlib import Path
import sentry_sdk
from sentry_sdk.transport import Transport

class FileTransport(Transport):
    def capture_envelope(self, envelope):
        if (event := envelope.get_event()) is not None:
            with (Path(os.environ["JOBPROC_TEST_FOLDER"]) / "events.jsonl").open("a") as file:
                file.write(json.dumps(event, default=str) + "\\n")

sentry_sdk.init = partial(sentry_sdk.init, transport=FileTransport)
"""
OPERATIONS = """
import asyncio
from jobproc import RetryAfter, operation

@operation(name="acme.send", max_attempts=2, base_seconds=0.01)
def send(to: str) -> None:
    secret = to.upper()
    raise ConnectionError(f"no route to {to}")

@operation(name="acme.send_async", max_attempts=1)
async def send_async(to: str) -> None:
    await asyncio.sleep(0.01)
    raise ConnectionError(f"no route to {to}")

@operation(name="acme.postpone", max_attempts=1)
def postpone() -> None:
    raise RetryAfter(1)
"""


def example() -> str:
    """Return the code of the example."""
    found = re.search(r"^```python\n(# acme_sentry\.py\n.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def events(folder: Path) -> list[dict[str, Any]]:
    """Return the events that Sentry got."""
    file = folder / "events.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_errors_of_real_jobs_are_events_with_the_scope_of_their_attempt(system: System) -> None:
    add_package(system, "acme_sentry", TRANSPORT + example() + OPERATIONS)
    system.env["SENTRY_DSN"] = "http://public@127.0.0.1:9/1"
    system.worker(concurrency=1).api()
    ids = {}
    for name, job_input in (
        ("acme.send", {"to": "ann"}),
        ("acme.send_async", {"to": "bob"}),
        ("acme.send_async", {"to": "eve"}),
        ("acme.postpone", {}),
    ):
        response = system.client.post("/jobs/", json={"operation": name, "input": job_input})
        assert response.status_code == 202, response.text
        ids[str(job_input)] = response.json()["job_id"]
    for job_id in ids.values():
        assert system.wait(job_id)["status"] == "FAILED"
    assert system.end("worker") == 0
    seen = [
        (
            event["transaction"],
            event["contexts"]["job"]["id"],
            event["contexts"]["job"]["attempt"],
            event["exception"]["values"][-1]["value"],
        )
        for event in events(system.folder)
    ]
    ann, bob, eve = (ids[str({"to": name})] for name in ("ann", "bob", "eve"))
    assert sorted(seen) == sorted(
        [
            ("acme.send", ann, 1, "no route to ann"),
            ("acme.send", ann, 2, "no route to ann"),
            ("acme.send_async", bob, 1, "no route to bob"),
            ("acme.send_async", eve, 1, "no route to eve"),
        ]
    )


@pytest.fixture
def sentry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Start Sentry as the example does, in this process."""
    import sentry_sdk

    monkeypatch.setenv("JOBPROC_TEST_FOLDER", str(tmp_path))
    monkeypatch.setenv("SENTRY_DSN", "http://public@127.0.0.1:9/1")
    monkeypatch.setattr(sentry_sdk, "init", sentry_sdk.init)
    for name in ("process_start", "process_stop", "around_attempts"):
        monkeypatch.setattr(hooks, name, [])
    module: dict[str, Any] = {"__name__": "acme_sentry"}
    exec(TRANSPORT + example(), module)  # noqa: S102 - the code of the documentation
    module["start_sentry"]()
    yield
    module["flush_sentry"]()
    sentry_sdk.get_global_scope().set_client(None)


@operation(name="acme.fail_in_a_test")
def fail(to: str) -> None:
    """Fail."""
    raise ConnectionError(f"no route to {to}")


def test_errors_in_a_test_are_events_too(sentry: None, tmp_path: Path) -> None:
    assert isinstance(run(fail, {"to": "ann"}, job_id="an-id"), Retries)
    (event,) = events(tmp_path)
    assert event["transaction"] == "acme.fail_in_a_test"
    assert event["contexts"]["job"] == {"id": "an-id", "attempt": 1}
    assert event["exception"]["values"][-1]["stacktrace"]["frames"][-1]["function"] == "fail"
