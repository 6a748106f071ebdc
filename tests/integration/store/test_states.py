"""The state of a job, as one statement reads it."""

import pytest
from integration.store.support.storage import ERROR, RELEASE, Storage, retry_after

from common.domain.decisions import Fail
from common.store.jobs import reads
from common.store.jobs.reads import JobResult, JobRevision
from common.store.workers import leases


def test_a_job_passes_through_its_states(storage: Storage) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    seen_states = [storage.state(job_id)]
    for decision in (retry_after(3_600), retry_after(0), RELEASE, Fail(ERROR)):
        jobs = claimer.claim()
        seen_states.append(storage.state(job_id))
        claimer.write(jobs, decision)
        seen_states.append(storage.state(job_id))
        storage.rows("UPDATE live SET claimable_at = clock_timestamp() WHERE claimable_at > clock_timestamp()")
    running = "IN_PROGRESS"
    assert seen_states == ["PENDING", running, "RETRYING", running, "PENDING", running, "PENDING", running, "FAILED"]


def test_a_job_before_its_time_is_scheduled_until_an_attempt_was_charged(storage: Storage) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    storage.age([job_id], -60)
    assert storage.state(job_id) == "SCHEDULED"
    storage.age([job_id], 60)
    claimer.write(claimer.claim(), RELEASE)
    storage.age([job_id], -60)
    assert storage.state(job_id) == "SCHEDULED", "a released attempt is not charged"
    storage.age([job_id], 60)
    claimer.write(claimer.claim(), retry_after(60))
    assert storage.state(job_id) == "RETRYING"


def test_a_read_of_a_job_is_one_consistent_snapshot(storage: Storage) -> None:
    claimer = storage.claimer()
    (new,) = storage.new()
    storage.store([new])

    def job() -> reads.Record:
        return storage.api(lambda connection: reads.job(connection, 1, new.id)) or {}

    waiting = job()
    assert waiting["due_at"] is not None
    assert [waiting[name] for name in ("status", "attempt", "started_at", "finished_at", "result", "error_type")] == [
        "PENDING",
        0,
        None,
        None,
        None,
        None,
    ]
    (held,) = claimer.claim()
    leases.report_progress(claimer.connection, claimer.id, held.id, held.attempt, 0.5, "half")
    running = job()
    assert running["started_at"] is not None
    assert [running[name] for name in ("status", "attempt", "due_at", "progress", "progress_text")] == [
        "IN_PROGRESS",
        1,
        None,
        0.5,
        "half",
    ]
    claimer.settle([held])
    ended = job()
    assert ended["started_at"] == running["started_at"]
    assert ended["finished_at"] is not None
    assert [ended[name] for name in ("status", "attempt", "due_at", "progress", "result")] == [
        "SUCCESS",
        1,
        None,
        None,
        "14.0",
    ]
    assert [ended[name] for name in ("queue", "operation", "priority", "max_attempts", "input")] == [
        "default",
        "square_sum",
        5,
        3,
        '{"data":[1,2,3]}',
    ]
    assert storage.api(lambda connection: reads.result(connection, 1, new.id)) == JobResult(
        JobRevision("SUCCESS", 0, ended["rev"]),
        "14.0",
    )
    assert storage.api(lambda connection: reads.status(connection, 1, new.id)) == (
        JobRevision("SUCCESS", 0, ended["rev"]),
        None,
        None,
    )


@pytest.mark.parametrize(
    "impossible",
    [
        "UPDATE live SET worker = 1",
        "UPDATE live SET started_at = now()",
        "UPDATE live SET released = attempt + 1",
        "UPDATE live SET progress = 1.5",
        "INSERT INTO outcomes (id, run, attempt, released, rev, status) SELECT id, 0, 1, 0, 1, 'SUCCESS' FROM live",
        "INSERT INTO outcomes (id, run, attempt, released, rev, status) SELECT id, 0, 1, 0, 1, 'FAILED' FROM live",
        "INSERT INTO outcomes (id, run, attempt, released, rev, status) SELECT id, 0, 1, 0, 1, 'PENDING' FROM live",
        """INSERT INTO outcomes (id, run, attempt, released, rev, status, result, error_type)
           SELECT id, 0, 1, 0, 1, 'SUCCESS', '1', 'x' FROM live""",
    ],
)
def test_check_constraints_refuse_impossible_rows(storage: Storage, impossible: str) -> None:
    storage.submit()
    with pytest.raises(Exception, match="violates check constraint"):
        storage.rows(impossible)
