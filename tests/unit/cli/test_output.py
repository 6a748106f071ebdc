"""The output of lists and objects in each form, as it was agreed on."""

from collections.abc import Callable
from typing import Any

import pytest

JOBS = [
    {
        "job_id": "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10",
        "status": "FAILED",
        "operation": "mail.send",
        "queue": "mail",
        "priority": 2,
        "tags": ["vip"],
        "created_at": "2026-01-31T09:00:00Z",
        "finished_at": "2026-01-31T11:59:30Z",
        "attempt": 3,
        "error": {"type": "SMTPError", "text": "no \x1b[31mroute\nto host"},
    },
    {
        "job_id": "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a11",
        "status": "SCHEDULED",
        "operation": "mail.digest",
        "queue": "mail",
        "priority": 5,
        "tags": [],
        "created_at": "2026-01-29T12:00:00Z",
        "finished_at": None,
        "attempt": 0,
        "error": None,
    },
]
PIPED_TABLE = r"""
JOB_ID                                STATUS     OPERATION    QUEUE  PRIORITY  CREATED               FINISHED              ATTEMPT  TEXT
019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10  FAILED     mail.send    mail   2         2026-01-31T09:00:00Z  2026-01-31T11:59:30Z  3        no \x1b[31mroute\nto host
019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a11  SCHEDULED  mail.digest  mail   5         2026-01-29T12:00:00Z  -                     0        -
"""  # noqa: E501 - as it is written
TERMINAL_TABLE = r"""
JOB_ID                                STATUS     OPERATION    QUEUE  PRIORITY  CREATED  FINISHED  ATTEMPT  TEXT
019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10  FAILED     mail.send    mail   2         3 h ago  30 s ago  3        no \x1b[31mroute\nto host
019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a11  SCHEDULED  mail.digest  mail   5         2 d ago  -         0        -
"""  # noqa: E501 - as it is written
NDJSON = (
    '{"job_id":"019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10","status":"FAILED","operation":"mail.send","queue":"mail",'
    '"priority":2,"tags":["vip"],"created_at":"2026-01-31T09:00:00Z","finished_at":"2026-01-31T11:59:30Z","attempt":3,'
    '"error":{"type":"SMTPError","text":"no \\u001b[31mroute\\nto host"}}\n'
)
RECORD = r"""
job_id       019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10
status       FAILED
operation    mail.send
queue        mail
priority     2
tags         vip
created_at   3 h ago
finished_at  30 s ago
attempt      3
error        {"type": "SMTPError", "text": "no \u001b[31mroute\nto host"}
"""
YAML = """
- job_id: 019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a11
  status: SCHEDULED
  operation: mail.digest
  queue: mail
  priority: 5
  tags: []
  created_at: '2026-01-29T12:00:00Z'
  finished_at: null
  attempt: 0
  error: null
"""
ID = JOBS[0]["job_id"]


@pytest.fixture(autouse=True)
def _jobs(api: Any) -> None:
    api.answer("GET /jobs/", {"jobs": JOBS, "next": None})
    api.answer("GET /jobs/?limit=1", {"jobs": JOBS[1:], "next": None})
    api.answer(f"GET /jobs/{ID}", JOBS[0])


def test_a_table_in_a_pipe_has_times_as_they_are(jobproc: Callable[..., Any]) -> None:
    assert jobproc("list", "-o", "table") == (0, PIPED_TABLE[1:], "")


def test_a_table_on_a_terminal_has_distances_and_colours(jobproc: Callable[..., Any]) -> None:
    coloured = TERMINAL_TABLE[1:].replace("FAILED", "\x1b[31mFAILED\x1b[0m")
    assert jobproc("list", terminal=True).out == coloured


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_table_without_colours(jobproc: Callable[..., Any], how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1" if how == "variable" else "")
    options = ["--no-color"] if how == "option" else []
    assert jobproc("list", *options, terminal=True).out == TERMINAL_TABLE[1:]


def test_a_pipe_gets_an_object_a_line(jobproc: Callable[..., Any]) -> None:
    out = jobproc("list").out
    assert out.startswith(NDJSON)
    assert out.count("\n") == 2


def test_json_is_one_list(jobproc: Callable[..., Any]) -> None:
    out = jobproc("list", "-o", "json", "--limit", "1").out
    assert out.startswith('[\n  {\n    "job_id": "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a11",\n    "status": "SCHEDULED",\n')
    assert out.endswith("  }\n]\n")


def test_yaml(jobproc: Callable[..., Any]) -> None:
    assert jobproc("list", "-o", "yaml", "--limit", "1").out == YAML[1:]


def test_ids(jobproc: Callable[..., Any]) -> None:
    assert jobproc("list", "-o", "id").out == f"{ID}\n{JOBS[1]['job_id']}\n"


def test_the_options_may_stand_before_the_command(jobproc: Callable[..., Any]) -> None:
    assert jobproc("-o", "id", "list").out == jobproc("list", "-o", "id").out


def test_an_object_on_a_terminal_is_a_line_a_member(jobproc: Callable[..., Any]) -> None:
    assert jobproc("get", ID, "--no-color", terminal=True).out == RECORD[1:]


def test_an_object_in_a_pipe_is_a_line(jobproc: Callable[..., Any]) -> None:
    assert jobproc("get", ID).out == NDJSON


def test_a_jsonpath_finds_in_each_item_texts_as_they_are(jobproc: Callable[..., Any]) -> None:
    ids = jobproc("list", "-o", "id").out
    assert jobproc("list", "-o", "jsonpath=$.job_id").out == ids
    assert jobproc("list", "-o", "jsonpath=.job_id").out == ids
    attempts = jobproc("list", "-o", "jsonpath=$['attempt','nothing']").out.splitlines()
    assert all(line.isdigit() for line in attempts)
    assert jobproc("list", "-o", "jsonpath=$.nothing").out == ""
    wrong = jobproc("list", "-o", "jsonpath=$[")
    assert wrong.code == 2
    assert "jsonpath=$[" in wrong.err
