"""The page docs/howto/workflows.md: its operations run, and its commands are accepted in their order."""

import re
import shlex
from pathlib import Path

import httpx
from integration.batches.test_howto import request_of
from integration.workflows.test_workflows import at_rest, jobs_of, result
from rig.packages import add_package
from rig.system import System

from jobproc import testing

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "howto" / "workflows.md").read_text()
ID = "019aa5d4-7b1c-7c3e-9d41-0b8b00000000"
(CODE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^curl .*$", PAGE, re.MULTILINE)


def test_the_video_pipeline_of_the_page_runs(system: System) -> None:
    add_package(system, "video_pipeline", CODE)
    system.all()
    response = system.client.request(**request_of(COMMANDS[0]))
    assert response.status_code == 202, response.text
    workflow_id = response.json()["workflow_id"]
    found = at_rest(system, workflow_id)
    assert (found["status"], found["jobs"]) == ("SUCCEEDED", 8)
    jobs = jobs_of(system, workflow_id)
    assert list(jobs)[:3] == ["probe", "join", "tell"]
    assert "probe/segment0" in jobs
    assert result(system, jobs["join"]) == [f"segment-{start:05}.mp4" for start in range(0, 45, 10)]
    assert result(system, jobs["tell"]) == "5 segments"


def test_the_commands_of_the_page_are_accepted(system: System) -> None:
    add_package(system, "video_pipeline", CODE)
    system.all()
    (lines,) = re.findall(r"^printf '%s\\n' (.*) > jobs.ndjson$", PAGE, re.MULTILINE)
    workflow_id = ID
    assert len(COMMANDS) >= 9
    for command in COMMANDS:
        request = request_of(command.replace(ID, workflow_id))
        if "x-ndjson" in command:
            request["content"] = "".join(f"{line}\n" for line in shlex.split(lines)).encode()
        if "/retry" in command:
            at_rest(system, workflow_id)
        response: httpx.Response = system.client.request(**request, timeout=40)
        assert response.status_code in (200, 202), (command, response.text)
        if response.status_code == 202:
            workflow_id = response.json()["workflow_id"]
    assert at_rest(system, workflow_id)["status"] == "SUCCEEDED"


def test_the_operations_of_the_page_run_without_a_server() -> None:
    namespace: dict[str, object] = {"__name__": "video_pipeline"}
    exec(compile(CODE, "video_pipeline", "exec"), namespace)  # noqa: S102 - the code of the page
    probed = testing.run("video.probe", {"seconds": 25})
    assert [(job.name, job.input) for job in probed.added] == [
        ("segment0", {"start": 0}),
        ("segment1", {"start": 10}),
        ("segment2", {"start": 20}),
    ]
    told = testing.run("video.tell", parents={"join": ["a.mp4"]})
    assert told.result == "1 segments"
