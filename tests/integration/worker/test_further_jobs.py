"""Further jobs that operations submit by the API: their ids, repeated attempts, and errors."""

import shutil
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from rig.keys import REQUIRED, client_of, new_key
from rig.system import System, until
from rig.tls import Authority

from common.domain.tenancy.scopes import Scope


def run(system: System, operation: str, **job_input: Any) -> dict[str, Any]:
    response = system.client.post("/jobs/", json={"operation": operation, "input": job_input})
    assert response.status_code == 202, response.text
    return system.wait(response.json()["job_id"])


def started(system: System) -> System:
    """Start the API and a worker that knows it."""
    return system.api().worker(JOBPROC_API_URL=f"http://127.0.0.1:{system.port}/")


def test_an_operation_submits_further_jobs_with_options(system: System) -> None:
    job = run(started(system), "hand_out", jobs=2)
    further = [system.wait(job_id) for job_id in job["result"]]
    assert [(found["operation"], found["input"], found["result"]) for found in further] == [
        ("noop", {"data": [1]}, 1),
        ("noop", {"data": [2]}, 1),
    ]
    assert {tag for found in further for tag in found["tags"]} == {"handed_out"}


def test_a_repeated_attempt_submits_nothing_twice(system: System) -> None:
    job = run(started(system), "hand_out", jobs=3, fails=2)
    assert (job["status"], job["attempt"], len(set(job["result"]))) == ("SUCCESS", 3, 3)
    assert system.database.value("SELECT count(*) FROM jobs WHERE operation = 'noop'") == 3


def test_an_async_operation_submits_with_a_key_of_its_own(system: System) -> None:
    job = run(started(system), "await_hand_out", operation_name="two_queues")
    assert system.wait(job["result"])["status"] == "SUCCESS"
    assert system.database.value("SELECT count(*) FROM idempotency_keys WHERE key = %s", [f"own-{job['job_id']}"]) == 1


def test_a_refused_submission_is_an_error_with_the_reason_of_the_api(system: System) -> None:
    error = run(started(system), "await_hand_out", operation_name="unheard_of")["error"]
    assert error["type"] == "SubmissionError"
    assert "the job for 'unheard_of' was not submitted: " in error["text"]
    assert "responded 422" in error["text"]
    assert "unknown operation" in error["text"]


def test_without_the_url_of_the_api_the_error_names_the_setting(system: System) -> None:
    error = run(system.api().worker(), "await_hand_out", operation_name="noop")["error"]
    assert (error["type"], "set JOBPROC_API_URL" in error["text"]) == ("SubmissionError", True)


def test_an_operation_submits_with_the_key_of_the_worker(system: System) -> None:
    key = new_key(system.database, [Scope.JOBS_WRITE])
    system.api(**REQUIRED).worker(JOBPROC_API_URL=f"http://127.0.0.1:{system.port}", JOBPROC_API_KEY=key)
    with client_of(system, new_key(system.database)) as client:
        job = client.post("/jobs/?wait=20", json={"operation": "hand_out", "input": {"jobs": 1}}).json()
    assert job["status"] == "SUCCESS", job
    assert system.database.value("SELECT count(*) FROM jobs WHERE operation = 'noop'") == 1
    assert key not in system.log("worker")


def test_without_a_key_the_error_has_the_reason_of_the_api(system: System) -> None:
    system.api(**REQUIRED).worker(JOBPROC_API_URL=f"http://127.0.0.1:{system.port}")
    with client_of(system, new_key(system.database)) as client:
        response = client.post(
            "/jobs/?wait=10", json={"operation": "await_hand_out", "input": {"operation_name": "noop"}}
        )
        error = client.get(f"/jobs/{response.json()['job_id']}").json()["error"]
    assert error["type"] == "SubmissionError"
    assert "responded 401" in error["text"]


def test_an_api_that_does_not_answer_is_waited_for_as_long_as_is_set(system: System) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        system.api().worker(JOBPROC_API_URL=url, JOBPROC_API_TIMEOUT_SECONDS="0.3")
        text = run(system, "hand_out_slowly")["error"]["text"]
    assert text.startswith("0.3 s: "), text
    assert "or it is unknown if it was: " in text


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
@pytest.mark.parametrize("content", ["right", "other", "none", "missing"])
def test_an_operation_checks_the_certificate_of_the_api(system: System, tmp_path: Path, content: str) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, file = authority.sign("api"), tmp_path / "ca.crt"
    if content != "missing":
        other = Authority(tmp_path / "other").file.read_text()
        file.write_text({"right": authority.file.read_text(), "other": other, "none": ""}[content])
    files = {"JOBPROC_TLS_CERTIFICATE_FILE": str(certificate.file), "JOBPROC_TLS_KEY_FILE": str(certificate.key)}
    system.spawn("api", "api", "--port", str(system.port), **files)
    url = f"https://localhost:{system.port}"
    system.worker(JOBPROC_API_URL=url, JOBPROC_API_CA_FILE=str(file))
    until("the API serves", lambda: system.events("api", "api_serving"))
    with httpx.Client(base_url=url, verify=authority.context(), timeout=30) as client:
        job = client.post("/jobs/?wait=20", json={"operation": "hand_out", "input": {"jobs": 1}}).json()
        job = client.get(f"/jobs/{job['job_id']}").json()
    if content == "right":
        assert job["status"] == "SUCCESS", job
    else:
        assert job["error"]["type"] == "SubmissionError"
        assert "CERTIFICATE_VERIFY_FAILED" in job["error"]["text"]
