"""Programs and processes that operations start: they behave as anywhere else, and end with their attempt."""

from pathlib import Path
from typing import Any

import pytest
from rig.system import System, until

WAYS = ["subprocess", "session", "twice", "stubborn"]
MULTIPROCESSING = ["multiprocessing fork", "multiprocessing spawn", "multiprocessing forkserver"]


def _submit(system: System, operation: str, **start: Any) -> str:
    response = system.client.post("/jobs/", json={"operation": operation, "input": start})
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


def _left(job_id: str) -> list[int]:
    """Return the processes that run with the environment of an attempt's programs."""
    marker = f"JOBPROC_TEST_MARKER=jobproc-test-{job_id}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and marker in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture
def patient(system: System) -> System:
    """A system of one worker process whose short time limits concern attempts alone."""
    return system.api().worker(concurrency=1, JOBPROC_CHILD_PROCESS_GRACE_SECONDS="0.5")


@pytest.mark.parametrize("way", [*WAYS, "multiprocessing spawn"])
def test_what_an_attempt_has_started_ends_before_its_next_attempt_begins(patient: System, way: str) -> None:
    """After a time limit what the operation had started went on: two attempts, two programs at once."""
    system = patient
    job_id = _submit(system, "leave_process", way=way, seconds=60)
    until("the program runs", lambda: _left(job_id))
    first = set(_left(job_id))
    note = system.folder / f"note-{job_id}"
    until("the first attempt has started its program", note.exists)
    until("the second attempt has started its program", lambda: note.read_text().count("started") == 2)
    assert not first & set(_left(job_id))
    assert system.wait(job_id)["error"]["type"] == "timeout"
    until("nothing is left", lambda: not _left(job_id))


@pytest.mark.parametrize("way", WAYS)
def test_what_an_attempt_has_started_ends_with_a_process_that_dies(patient: System, way: str) -> None:
    job_id = _submit(patient, "leave_process_and_die", way=way)
    assert patient.wait(job_id)["error"]["type"] == "worker_lost"
    until("nothing is left", lambda: not _left(job_id))
    assert patient.wait(patient.submit("noop", 1))["status"] == "SUCCESS"


@pytest.mark.parametrize("way", [*WAYS, "multiprocessing spawn", "multiprocessing forkserver"])
def test_what_outlives_an_attempt_that_ends_well_is_ended_and_logged(patient: System, way: str) -> None:
    job_id = _submit(patient, "leave_process", way=way)
    assert patient.wait(job_id)["status"] == "SUCCESS"
    until("nothing is left", lambda: not [pid for pid in _left(job_id) if not _is_helper(pid)])
    (event,) = until("it is logged", lambda: patient.events("worker", "attempt_left_processes"))
    assert (event["job_id"], event["operation"]) == (job_id, "leave_process")


def _is_helper(pid: int) -> bool:
    """Return True for the fork server and the resource tracker of `multiprocessing`, which live on by design."""
    return any(name in Path(f"/proc/{pid}/cmdline").read_bytes() for name in (b"resource_tracker", b"forkserver"))


def test_what_runs_ends_with_a_worker_that_is_told_to_end(patient: System) -> None:
    job_id = _submit(patient, "leave_process", way="twice", seconds=60)
    until("the program runs", lambda: _left(job_id))
    patient.env["JOBPROC_SHUTDOWN_GRACE_SECONDS"] = "1"
    assert patient.end("worker") == 0
    assert not _left(job_id)


@pytest.mark.parametrize("way", ["subprocess", "asyncio", "fork", *MULTIPROCESSING])
def test_a_process_that_an_operation_starts_has_default_signals(shared: System, way: str) -> None:
    """Children inherited ignored signals, so that `terminate()` hung until the time limit."""
    job = shared.wait(_submit(shared, "end_process", way=way), 40)
    assert job["result"] == "-15 default", job["error"]


def test_operations_may_use_pools_of_processes(shared: System) -> None:
    """Celery's processes are daemons, and those of `multiprocessing` may have no children."""
    job = shared.wait(shared.submit("compute_in_processes", 1, 2, 3), 60)
    assert job["result"] == [[1, 4, 9]] * 6, job
