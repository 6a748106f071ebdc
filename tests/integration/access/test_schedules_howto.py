"""The commands and the file of docs/howto/schedules.md work as they are."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import httpx
from rig.system import System

from common.schedule_definitions.definition import ScheduleDefinition
from common.schedule_definitions.file import read_schedules

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "howto" / "schedules.md").read_text()
BASE = "http://127.0.0.1:8000"


def commands() -> list[list[str]]:
    return [shlex.split(line) for line in PAGE.splitlines() if line.startswith("curl ")]


def options(command: list[str], name: str) -> list[str]:
    return [value for option, value in pairwise(command) if option == name]


def test_the_commands_of_the_howto_work(owner: httpx.Client, secured: System) -> None:
    secured.database.rows("DELETE FROM schedules")
    schedule_id = ""
    assert len(commands()) == 10
    for command in commands():
        (url,) = [word for word in command if word.startswith(BASE)]
        method = (options(command, "-X") or ["GET"])[0]
        headers = dict(header.split(": ", 1) for header in options(command, "-H"))
        body = next(iter(options(command, "-d")), None)
        answer = owner.request(method, url.removeprefix(BASE).replace("ID", schedule_id), headers=headers, content=body)
        assert answer.status_code in (200, 201, 202, 204), (command, answer.text)
        if method == "POST" and body is not None and not schedule_id:
            schedule_id = answer.json()["id"]
            assert len(answer.json()["next_runs"]) == 5
    assert owner.get(f"/schedules/{schedule_id}").status_code == 404


def test_the_file_and_the_values_of_the_howto_are_valid(tmp_path: Path) -> None:
    texts = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(texts) == 2
    for text in texts:
        path = tmp_path / "schedules.yaml"
        path.write_text(text)
        assert list(read_schedules(str(path)).by_tenant["default"]) == ["nightly-report"]


def test_the_howto_has_every_member_of_a_schedule() -> None:
    table = PAGE.partition("## Cron")[0]
    named = set(
        re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("|")))
    )
    assert named == set(ScheduleDefinition.model_fields) - {"name", "job"}
