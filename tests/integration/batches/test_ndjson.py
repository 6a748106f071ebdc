"""Bodies of NDJSON: stored part by part, or all or none; read in parts."""

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from integration.batches.test_batch_resource import GOOD, batch, create, ended
from rig.system import System, until

HEADERS = {"Content-Type": "application/x-ndjson"}
BAD = {"operation": "square_sum"}


def lines(*jobs: Any) -> bytes:
    return b"".join(orjson.dumps(job) + b"\n" for job in jobs)


def post(system: System, body: Any, path: str = "/jobs/batch", key: str = "", **parameters: Any) -> httpx.Response:
    headers = HEADERS | ({"Idempotency-Key": key} if key else {})
    return system.client.post(path, content=body, headers=headers, params=parameters, timeout=60)


def offsets(body: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Return the ranges of a response, with numbers of jobs instead of ids."""
    first = uuid.UUID(body["batch_id"]).int
    return [
        (found["first_line"], found["last_line"], uuid.UUID(found["first_job_id"]).int - first)
        for found in body["ranges"]
    ]


@pytest.mark.parametrize("atomic", ["true", "false"])
def test_the_jobs_of_all_lines_are_a_batch(system: System, atomic: str) -> None:
    system.all(JOBPROC_NDJSON_CHUNK_JOBS="100")
    jobs = [GOOD | {"data": [n]} for n in range(1_050)]
    response = post(
        system, iter([lines(*jobs)[at : at + 999] for at in range(0, len(lines(*jobs)), 999)]), atomic=atomic
    )
    assert response.status_code == 202, response.text
    body = response.json()
    assert (body["jobs"], body["refused"], body["complete"], body["job_ids"]) == (1_050, [], True, [])
    assert offsets(body) == [(1, 1_050, 1)]
    assert response.headers["location"] == f"/batches/{body['batch_id']}"
    assert ended(system, body["batch_id"])["counts"]["succeeded"] == 1_050
    inputs = system.database.rows("SELECT id, input -> 'data' -> 0 FROM jobs ORDER BY id")
    first = uuid.UUID(body["batch_id"]).int
    assert [(uuid.UUID(str(job_id)).int - first, n) for job_id, n in inputs] == [(n + 1, n) for n in range(1_050)]


def test_one_invalid_line_refuses_all_and_is_named(system: System) -> None:
    system.api(JOBPROC_NDJSON_CHUNK_JOBS="10")
    for bad, detail in ((lines(BAD), "data"), (b"{\n", "JSON"), (lines(GOOD | {"unique": {"key": "k"}}), "unique")):
        response = post(system, lines(*[GOOD] * 34) + bad + lines(GOOD))
        assert response.status_code == 422, response.text
        assert [error["field"] for error in response.json()["errors"]] == ["35"]
        assert detail in response.json()["detail"]
    assert post(system, b"\n\n").status_code == 422
    assert system.database.value("SELECT count(*) FROM jobs") == 0
    assert system.database.value("SELECT count(*) FROM batches") == 0


def test_line_by_line_the_valid_ones_are_stored_and_the_others_named(system: System) -> None:
    system.all(JOBPROC_NDJSON_CHUNK_JOBS="10")
    jobs = [BAD if n % 10 == 4 else GOOD for n in range(100)]
    body = post(system, lines(*jobs) + b"{\n", atomic="false").json()
    assert body["jobs"] == 90
    assert [refused["line"] for refused in body["refused"]] == [*range(5, 101, 10), 101]
    assert {refused["type"].rpartition(":")[2] for refused in body["refused"]} == {"invalid-body", "malformed-json"}
    assert ended(system, body["batch_id"])["counts"]["succeeded"] == 90
    stored = {str(row[0]) for row in system.database.rows("SELECT id FROM jobs")}
    refused_lines = {refused["line"] for refused in body["refused"]}
    by_line = {
        line: str(uuid.UUID(int=uuid.UUID(found["first_job_id"]).int + line - found["first_line"]))
        for found in body["ranges"]
        for line in range(found["first_line"], found["last_line"] + 1)
    }
    assert {job_id for line, job_id in by_line.items() if line not in refused_lines} == stored


def test_after_a_thousand_refused_lines_no_more_is_read(system: System) -> None:
    system.api()
    body = post(system, lines(GOOD | {"delay_seconds": 9}, *[BAD] * 5_000), atomic="false").json()
    assert body["complete"] is False
    assert 1_000 <= len(body["refused"]) <= 2_000
    found = batch(system, body["batch_id"])
    assert (found["status"], found["jobs"]) == ("CLOSED", 1)
    assert post(system, lines(BAD), atomic="false").status_code == 422


@pytest.mark.parametrize("atomic", ["true", "false"])
def test_lines_are_added_to_an_open_batch(system: System, atomic: str) -> None:
    system.api()
    batch_id = create(system)
    for n in range(3):
        body = post(system, lines(*[GOOD] * 5), f"/batches/{batch_id}/jobs", atomic=atomic).json()
        assert offsets(body) == [(1, 5, 1 + 5 * n)]
    assert batch(system, batch_id)["counts"]["unfinished"] == 15
    system.client.post(f"/batches/{batch_id}/close")
    refused = post(system, lines(GOOD), f"/batches/{batch_id}/jobs", atomic=atomic)
    assert refused.status_code == 409
    assert batch(system, batch_id)["jobs"] == 15


def test_the_same_idempotency_key_stores_lines_once(system: System) -> None:
    system.api()
    responses = [post(system, b"\n" + lines(GOOD, GOOD), key="once") for _ in range(2)]
    assert [response.status_code for response in responses] == [202, 200]
    assert responses[0].json() == responses[1].json()
    assert post(system, lines(GOOD), key="once").status_code == 422
    assert post(system, lines(GOOD), key="other", atomic="false").status_code == 422
    assert system.database.value("SELECT count(*) FROM jobs") == 2


def test_the_limits_of_ndjson_are_settings(system: System) -> None:
    system.api(JOBPROC_MAX_NDJSON_JOBS="3", JOBPROC_MAX_NDJSON_LINE_BYTES="100", JOBPROC_MAX_NDJSON_BODY_BYTES="1000")
    assert post(system, lines(*[GOOD] * 3)).status_code == 202
    assert post(system, lines(*[GOOD] * 4)).status_code == 422
    assert post(system, lines(GOOD | {"data": list(range(100))})).status_code == 422
    assert post(system, b"\n" * 2_000).status_code == 413
    assert system.database.value("SELECT count(*) FROM jobs") == 3


def test_a_body_of_a_hundred_megabytes_takes_the_memory_of_a_part(system: System) -> None:
    """Refused lines, so that nothing is stored."""
    system.api(JOBPROC_MAX_NDJSON_BODY_BYTES="200000000")
    status = Path(f"/proc/{system.processes['api'].pid}/status")

    def peak_kib() -> int:
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])

    before = peak_kib()
    part = b" " * 100_000 + b"\n"

    def body() -> Iterator[bytes]:
        yield from itertools.repeat(part, 1_000)
        yield lines(GOOD)

    response = post(system, body())
    assert response.status_code == 202, response.text
    assert peak_kib() - before < 40_000
    until("the API answers", lambda: system.client.get("/livez").status_code == 200)
