"""The commands of docs/howto/batches.md, in their order, each on the batch that a command before it has made."""

import re
import shlex
from pathlib import Path
from typing import Any

import httpx
from rig.system import System, until

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "howto" / "batches.md").read_text()
ID = "019aa5d4-7b1c-7c3e-9d41-0b8b00000000"
LINES = b'{"data":[1,2,3],"operation":"square_sum"}\n{"data":[4],"operation":"cube_sum"}\n'


def request_of(command: str) -> dict[str, Any]:
    """Return the method, URL, headers and body of a command of curl."""
    arguments = iter(shlex.split(command)[1:])
    request: dict[str, Any] = {"method": "GET", "headers": {}}
    for argument in arguments:
        match argument:
            case "-X":
                request["method"] = next(arguments)
            case "-H":
                name, _, value = next(arguments).partition(": ")
                request["headers"][name] = value
            case "-d":
                request["content"] = next(arguments)
            case "--data-binary":
                assert next(arguments) == "@jobs.ndjson"
                request["content"] = LINES
            case url:
                request["url"] = url.removeprefix("http://127.0.0.1:8000")
    return request


def test_the_commands_of_the_page_are_accepted(system: System) -> None:
    system.all()
    commands = re.findall(r"^curl .*$", PAGE, re.MULTILINE)
    assert len(commands) >= 10
    batch_id = ID
    for command in commands:
        request = request_of(command.replace(ID, batch_id))
        response: httpx.Response = system.client.request(**request)
        assert response.status_code in (200, 201, 202), (command, response.text)
        if request["method"] == "POST" and "batch_id" in response.json():
            batch_id = response.json()["batch_id"]
    batches = system.client.get("/batches").json()["batches"]
    assert len(batches) == 5
    until(
        "all have ended",
        lambda: {found["status"] for found in system.client.get("/batches").json()["batches"]} == {"ENDED"},
    )
    for found in system.client.get("/batches").json()["batches"]:
        if found["follow_up"]:
            job = system.wait(found["follow_up"]["job_id"])
            assert (job["status"], job["metadata"]) == ("SUCCESS", {"batch_id": found["batch_id"]})


def test_the_lines_of_the_page_are_those_of_its_file() -> None:
    (command,) = re.findall(r"^printf '%s\\n' (.*) > jobs.ndjson$", PAGE, re.MULTILINE)
    assert "".join(f"{line}\n" for line in shlex.split(command)).encode() == LINES
