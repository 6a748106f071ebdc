"""The commands of docs/howto/queues.md work as they are."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import httpx
from rig.system import System

from api.views.queues.resource import QueueChange
from common.queue_definitions.file import read_queues

PAGE = (Path(__file__).parents[3] / "docs" / "howto" / "queues.md").read_text()
BASE = "http://127.0.0.1:8000"


def options(command: list[str], name: str) -> list[str]:
    return [value for option, value in pairwise(command) if option == name]


def test_the_commands_of_the_howto_work(owner: httpx.Client, secured: System) -> None:
    commands = [shlex.split(line) for line in PAGE.splitlines() if line.startswith("curl ")]
    assert len(commands) == 11
    for command in commands:
        (url,) = [word for word in command if word.startswith(BASE)]
        method = (options(command, "-X") or ["GET"])[0]
        headers = dict(header.split(": ", 1) for header in options(command, "-H"))
        body = next(iter(options(command, "-d")), None)
        answer = owner.request(method, url.removeprefix(BASE), headers=headers, content=body)
        assert answer.status_code in (200, 202), (command, answer.text)
    policy = owner.get("/queues/default").json()["policy"]
    assert policy["key_rate"] == {"per_second": 5, "burst": 5}
    assert (policy["concurrency"], policy["rate"], policy["key_concurrency"]) == (4, None, 2)
    secured.database.rows("DELETE FROM queue_policies")


def test_the_file_and_the_values_of_the_howto_are_valid(tmp_path: Path) -> None:
    read = []
    for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        path = tmp_path / "queues.yaml"
        path.write_text(text)
        read.append(list(read_queues(str(path)).limits))
    assert read == [[(None, "default"), ("acme", "default")], [(None, "default")]]


def test_the_howto_has_every_member_of_a_change() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert named == set(QueueChange.model_fields)
