"""The commands of docs/howto/change-feed.md, in their order."""

import json
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from rig.system import System

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "howto" / "change-feed.md").read_text()


def test_the_commands_of_the_page_are_accepted(secured: System, owner: httpx.Client) -> None:
    commands = re.findall(r"^curl .*$", PAGE, re.MULTILINE)
    assert len(commands) == 5
    job = {"operation": "square_sum", "input": {"data": [1, 2, 3]}, "tags": ["nightly"]}
    for command in commands:
        arguments = shlex.split(command)
        url = urlsplit(next(argument for argument in arguments if argument.startswith("http")))
        path = f"{url.path}?{url.query}"
        if "-d" in arguments:
            body = json.loads(arguments[arguments.index("-d") + 1])
            owner.patch(path, json=body).raise_for_status()
            owner.post("/jobs/", json=job).raise_for_status()
        else:
            page = owner.get(path).raise_for_status().json()
            assert page.keys() == {"events", "after", "next"}
            if "latest" not in path:
                assert page["events"], command
    (example,) = re.findall(r'^\{"events":\[\n  (\{.*?\})\],\n', PAGE, re.MULTILINE | re.DOTALL)
    assert json.loads(example).keys() == owner.get("/events?after=0").json()["events"][0].keys()
    secured.database.rows("DELETE FROM queue_policies")
    secured.database.rows("SELECT set_followed_queues()")
