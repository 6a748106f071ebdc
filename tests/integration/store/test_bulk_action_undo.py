"""Undo of bulk actions: jobs get back their earlier state, unless they have changed since."""

from dataclasses import replace

import pytest
from integration.store.support.bulk_actions import ActionDriver, cancelled_jobs, start_action, states
from integration.store.support.clients import Client
from integration.store.support.storage import Storage, retry_after

from common.domain.bulk_actions import ActionKind, ActionRequest
from common.domain.job import ClaimExtras, HeldWhile, NewJob, OnConflict, Options, Unique
from common.store.jobs import deadlines, keyed_insert

LIVE = """SELECT id, tenant, queue, priority, attempt, released, max_attempts, needs, isolated, crashes,
                 cancel_requested, worker FROM live ORDER BY id"""


def _options(storage: Storage) -> Options:
    at = storage.value("SELECT clock_timestamp() + interval '1 h'")
    return Options(run_at=at, deadline=at, tags=("a", "b"), unique=Unique("k", HeldWhile.WAITING, OnConflict.REJECT))


def test_waiting_jobs_are_restored_exactly(storage: Storage, actions: ActionDriver, client: Client) -> None:
    claimer = storage.claimer()
    storage.submit(3, max_attempts=7)
    claimer.write(claimer.claim(2), retry_after(3_600))
    storage.rows("UPDATE live SET isolated = true, crashes = 2, priority = 1 WHERE attempt = 1")
    first, second = (replace(job, options=_options(storage)) for job in storage.new(2))
    storage.store([first])
    before, positions = (
        storage.rows(LIVE),
        storage.rows("SELECT id, claimable_at FROM live WHERE claimable_at > clock_timestamp() ORDER BY id"),
    )
    job_states = storage.rows("SELECT id, status, due_at FROM job_states WHERE status <> 'PENDING' ORDER BY id")
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    assert actions.finish(bulk_action_id)["done"] == 4
    action = actions.undo(bulk_action_id, 3)
    assert (action["undone"], action["not_undone"]) == (4, {})
    assert storage.rows(LIVE) == before
    assert (
        storage.rows("SELECT id, claimable_at FROM live WHERE claimable_at > clock_timestamp() ORDER BY id")
        == positions
    )
    assert storage.rows("SELECT id, status, due_at FROM job_states WHERE status <> 'PENDING' ORDER BY id") == job_states
    assert storage.rows("SELECT DISTINCT l.run, l.rev - o.rev FROM live l JOIN outcomes o USING (id)") == [(1, 1)], (
        "another run"
    )
    assert storage.rows("SELECT id, run, undo FROM runs ORDER BY id") == [(row[0], 1, True) for row in before]
    assert storage.rows("SELECT id FROM unique_keys") == [(str(first.id),)], "it holds its key again"
    with pytest.raises(Exception, match="unique"):
        client.start(_insert_once(client, second)).result(10)


async def _insert_once(client: Client, job: NewJob) -> None:
    await keyed_insert.insert_keyed(client.connection, [job], None)


def test_a_unique_key_stays_with_a_job_that_has_taken_it_since(
    storage: Storage, actions: ActionDriver, client: Client
) -> None:
    first, second = (replace(job, options=_options(storage)) for job in storage.new(2))
    client.start(_insert_once(client, first)).result(10)
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    actions.finish(bulk_action_id)
    client.start(_insert_once(client, second)).result(10)
    assert actions.undo(bulk_action_id)["not_undone"] == {"unique_conflict": 1}
    assert storage.rows("SELECT id FROM live") == [(str(second.id),)]


def test_a_deadline_counts_again_after_an_undo_and_fails_late_jobs(storage: Storage, actions: ActionDriver) -> None:
    soon = storage.value("SELECT clock_timestamp() + interval '0.3 s'")
    storage.store([replace(job, options=Options(deadline=soon)) for job in storage.new(2)])
    (claimed,) = storage.claimer().claim(1)
    assert claimed.extras is not None and claimed.extras.deadline_in_s is not None
    storage.rows("UPDATE live SET worker = NULL, started_at = NULL")
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    actions.finish(bulk_action_id)
    storage.rows("SELECT pg_sleep(0.35)")
    assert deadlines.fail_expired(actions.connection, 10, "deadline_exceeded", "late") == 0, "they are cancelled"
    assert storage.value("SELECT count(*) FROM deadlines") == 0
    assert actions.undo(bulk_action_id)["undone"] == 2
    (again,) = storage.claimer().claim(1)
    assert again.is_past_deadline
    assert deadlines.fail_expired(actions.connection, 10, "deadline_exceeded", "late") == 1
    assert storage.rows("SELECT status, run FROM outcomes WHERE run = 1") == [("FAILED", 1)]


def test_a_deadline_does_not_count_after_a_manual_retry_nor_in_later_runs(
    storage: Storage, actions: ActionDriver, client: Client
) -> None:
    (job,) = (
        replace(job, options=Options(deadline=storage.value("SELECT clock_timestamp() + interval '1 h'")))
        for job in storage.new(1)
    )
    (job_id,) = storage.store([job])
    client.cancel(job_id).result(10)
    assert client.retry(job_id).result(10)
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    actions.finish(bulk_action_id)
    assert actions.undo(bulk_action_id)["undone"] == 1
    storage.rows("UPDATE deadlines SET at = clock_timestamp() - interval '1 s'")
    assert deadlines.fail_expired(actions.connection, 10, "deadline_exceeded", "late") == 0
    (claimed,) = storage.claimer().claim()
    assert claimed.extras == ClaimExtras(run=2)


def test_jobs_that_ran_or_were_retried_since_are_not_undone_and_counted_by_reason(
    storage: Storage, actions: ActionDriver, client: Client
) -> None:
    claimer = storage.claimer()
    jobs = storage.submit(4)
    held = claimer.claim(1)
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    assert actions.finish(bulk_action_id)["cancels_requested"] == 1
    claimer.settle(held)
    assert client.retry(jobs[1]).result(10)
    storage.rows("DELETE FROM jobs WHERE id = %s", (jobs[2],))
    action = actions.undo(bulk_action_id, 1)
    assert (action["undone"], action["not_undone"]) == (1, {"was_running": 1, "moved_on": 1, "removed": 1})
    assert storage.rows("SELECT id::text, run FROM live ORDER BY id") == [(jobs[1], 1), (jobs[3], 1)]
    assert storage.rows("SELECT undo FROM runs ORDER BY id") == [(False,), (True,)]


def test_a_retried_job_that_has_not_started_is_cancelled_again(storage: Storage, actions: ActionDriver) -> None:
    jobs, claimer = cancelled_jobs(storage, 3), storage.claimer()
    bulk_action_id = start_action(actions, ActionKind.RETRY)
    actions.finish(bulk_action_id)
    (started,) = claimer.claim(1)
    action = actions.undo(bulk_action_id)
    assert (action["undone"], action["not_undone"]) == (2, {"moved_on": 1})
    assert states(storage, [job for job in jobs if job != started.id]) == ["CANCELLED"] * 2
    assert storage.state(started.id) == "IN_PROGRESS"
    assert storage.value("SELECT count(*) FROM bulk_action_jobs") == 0


def test_waiting_jobs_that_have_the_new_priority_get_their_old_one_back(
    storage: Storage, actions: ActionDriver
) -> None:
    jobs = storage.submit(1, priority=1) + storage.submit(1, priority=7) + storage.submit(1, priority=9)
    bulk_action_id = start_action(actions, ActionKind.REPRIORITISE)
    actions.finish(bulk_action_id)
    storage.rows("UPDATE live SET priority = 3 WHERE id = %s", (jobs[1],))
    action = actions.undo(bulk_action_id)
    assert (action["undone"], action["not_undone"]) == (2, {"moved_on": 1})
    assert storage.rows("SELECT priority FROM live ORDER BY id") == [(1,), (3,), (9,)]


def test_jobs_whose_rows_are_locked_are_undone_in_a_later_step(storage: Storage, actions: ActionDriver) -> None:
    storage.submit(3)
    bulk_action_id = start_action(actions, ActionKind.REPRIORITISE)
    actions.finish(bulk_action_id)
    holder = storage.session()
    holder.cursor().execute("SELECT FROM live ORDER BY id LIMIT 1 FOR UPDATE")
    actions.request(bulk_action_id, ActionRequest.UNDO)
    step = actions.run_step(bulk_action_id)
    assert step is not None and (len(step.outcome.changed_ids), len(step.outcome.locked_ids)) == (2, 1)
    holder.rollback()
    assert actions.finish(bulk_action_id)["undone"] == 3
    assert storage.rows("SELECT DISTINCT priority FROM live") == [(5,)]


def test_an_undo_can_be_stopped_and_continued_and_so_can_a_partly_undone_action(
    storage: Storage, actions: ActionDriver
) -> None:
    jobs = storage.submit(10)
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    actions.run_step(bulk_action_id, 6)
    actions.request(bulk_action_id, ActionRequest.STOP)
    actions.request(bulk_action_id, ActionRequest.UNDO)
    actions.run_step(bulk_action_id, 2)
    assert actions.request(bulk_action_id, ActionRequest.STOP)["phase"] == "STOPPED"
    assert states(storage, jobs) == ["PENDING"] * 2 + ["CANCELLED"] * 4 + ["PENDING"] * 4
    actions.request(bulk_action_id, ActionRequest.START)
    assert actions.finish(bulk_action_id)["done"] == 10
    assert states(storage, jobs) == ["PENDING"] * 2 + ["CANCELLED"] * 8, "each job is changed once"
    assert actions.undo(bulk_action_id)["undone"] == 10
    assert states(storage, jobs) == ["PENDING"] * 10
