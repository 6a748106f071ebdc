"""Inputs and results that are nested deeper than a JSON parser of Python goes: every route shows them as stored."""

import time
from typing import Any

import pytest
from rig.system import System

from common.domain.job import new_job_id

DEEP = "[" * 5_000 + "]" * 5_000
STORED = """
INSERT INTO jobs (id, operation, queue, max_attempts, input, tags)
    VALUES (%(id)s, 'square_sum', 'default', 3, %(text)s, '{deep}');
INSERT INTO tags (id, tag) VALUES (%(id)s, 'deep');
INSERT INTO outcomes (id, run, attempt, released, rev, worker, started_at, status, result)
    VALUES (%(id)s, 0, 1, 0, 1, 1, now(), 'SUCCESS', %(text)s)
"""


@pytest.fixture
def job_id(system: System) -> str:
    """Start an API; store a job whose input and result are deep."""
    id_ = str(new_job_id(time.time_ns() // 1_000_000, 1))
    system.api().database.rows(STORED, {"id": id_, "text": DEEP})
    return id_


def test_every_route_of_a_job_with_a_deep_input_and_result_answers(system: System, job_id: str) -> None:
    shown = {
        f"/jobs/{job_id}": 2,
        f"/jobs/{job_id}/input": 1,
        f"/jobs/{job_id}/result": 1,
        f"/jobs/{job_id}/result?wait=1": 1,
        f"/jobs/{job_id}/status": 0,
        f"/jobs/{job_id}/events": 0,
        f"/jobs/{job_id}/explain": 0,
        "/jobs": 0,
        "/jobs?tag=deep": 0,
    }
    answers: dict[str, Any] = {path: system.client.get(path) for path in shown}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(shown, 200)
    assert {path: answer.text.count(DEEP) for path, answer in answers.items()} == shown


def test_a_deep_input_can_be_run_again(system: System, job_id: str) -> None:
    system.database.rows("UPDATE outcomes SET status = 'FAILED', result = NULL, error_type = 'e', error_text = 'e'")
    assert system.client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert system.database.value("SELECT input::text FROM jobs") == DEEP


def test_a_deep_input_is_refused_when_it_is_sent(system: System, job_id: str) -> None:
    """The limit of the parser is 200."""
    body = f'{{"operation":"square_sum","input":{DEEP}}}'
    for path in ("/jobs/", f"/jobs/{job_id}/retry"):
        answer = system.client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:jobproc:problem:malformed-json")
