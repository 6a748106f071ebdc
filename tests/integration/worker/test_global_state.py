"""Changes that an operation makes to its process, and threads that it leaves: neither disturbs the worker."""

import time

import pytest
from rig.system import System, until


@pytest.fixture
def started(system: System) -> System:
    return system.worker(concurrency=1, JOBPROC_BATCH_MAX_SECONDS="0.3").api()


def test_jobs_run_as_ever_after_an_operation_has_changed_the_state_of_its_process(started: System) -> None:
    """Also a batch that is settled early by an alarm, an async job, and a reconnect."""
    pid = started.wait(started.submit("change_globals", 1))["result"]
    assert started.children() == [pid]
    for operation, data in (("stumble", [1, 3]), ("await_falter", [1, 0.01, 3]), ("cube_sum", [2])):
        assert started.wait(started.submit(operation, *data))["status"] == "SUCCESS"
    started.submit_many("effect", [[0.01, n] for n in range(30)])
    started.submit("effect", 1, 7)
    started.submit_many("effect", [[0.01, n] for n in range(30)])
    started.wait_all()
    started.database.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert started.wait(started.submit("effect", 0.01, 9))["result"] == 9
    assert started.children() == [pid]
    assert started.end("worker", limit_s=8) == 0
    assert not started.events("worker", "serving_failed")


def test_a_thread_that_an_operation_leaves_does_not_delay_the_end_of_its_worker(started: System) -> None:
    pid = started.wait(started.submit("leave_thread", 1))["result"]
    assert started.wait(started.submit("noop", 1))["status"] == "SUCCESS"
    assert started.children() == [pid]
    signalled_at = time.monotonic()
    assert started.end("worker", limit_s=15) == 0
    assert time.monotonic() - signalled_at < 12
    until(
        "the process has ended",
        lambda: not started.database.value("SELECT count(*) FROM workers WHERE ended_at IS NULL"),
    )
