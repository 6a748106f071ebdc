"""The undo of actions: what was done is given back as it was, as far as nobody else has done something since."""

from dataclasses import replace

import pytest
from integration.store.support.bulk_actions import Acting, begin, cancelled, states
from integration.store.support.clients import Client
from integration.store.support.storage import Storage, retry_after

from common.domain.bulk_actions import ActionKind, Verb
from common.domain.job import HeldWhile, NewJob, OnConflict, Options, Unique
from common.store.jobs import deadlines, keyed_insert

LIVE = "SELECT id, tenant, queue, priority, attempt, released, max_attempts, needs, alone, crashes, cancel, worker FROM live ORDER BY id"


def _options(storage: Storage) -> Options:
    at = storage.one("SELECT clock_timestamp() + interval '1 h'")
    return Options(run_at=at, deadline=at, tags=("a", "b"), unique=Unique("k", HeldWhile.WAITING, OnConflict.REJECT))


def test_what_waited_is_put_back_exactly_as_it_was(storage: Storage, acting: Acting, client: Client) -> None:
    claimer = storage.claimer()
    storage.submit(3, max_attempts=7)
    claimer.write(claimer.claim(2), retry_after(3_600))
    storage.rows("UPDATE live SET alone = true, crashes = 2, priority = 1 WHERE attempt = 1")
    first, second = (replace(job, options=_options(storage)) for job in storage.new(2))
    storage.store([first])
    before, pos = storage.rows(LIVE), storage.rows("SELECT id, pos FROM live WHERE pos > clock_timestamp() ORDER BY id")
    about = storage.rows("SELECT id, status, due_at FROM job_states WHERE status <> 'PENDING' ORDER BY id")
    action_id = begin(acting, ActionKind.CANCEL)
    assert acting.finish(action_id)["done"] == 4
    found = acting.undo(action_id, 3)
    assert (found["undone"], found["not_undone"]) == (4, {})
    assert storage.rows(LIVE) == before
    assert storage.rows("SELECT id, pos FROM live WHERE pos > clock_timestamp() ORDER BY id") == pos
    assert storage.rows("SELECT id, status, due_at FROM job_states WHERE status <> 'PENDING' ORDER BY id") == about
    assert storage.rows("SELECT DISTINCT l.epoch, l.rev - o.rev FROM live l JOIN outcomes o USING (id)") == [(1, 1)], "a further epoch"
    assert storage.rows("SELECT id, epoch, undo FROM reruns ORDER BY id") == [(row[0], 1, True) for row in before]
    assert storage.rows("SELECT id FROM uniq") == [(str(first.id),)], "its key is held again"
    with pytest.raises(Exception, match="unique"):
        client.do(_once(client, second)).result(10)


async def _once(client: Client, job: NewJob) -> None:
    await keyed_insert.insert_once(client.connection, [job], None)


def test_a_key_that_another_job_has_taken_meanwhile_stays_its_own(storage: Storage, acting: Acting, client: Client) -> None:
    first, second = (replace(job, options=_options(storage)) for job in storage.new(2))
    client.do(_once(client, first)).result(10)
    action_id = begin(acting, ActionKind.CANCEL)
    acting.finish(action_id)
    client.do(_once(client, second)).result(10)
    assert acting.undo(action_id)["not_undone"] == {"unique_conflict": 1}
    assert storage.rows("SELECT id FROM live") == [(str(second.id),)]


def test_a_deadline_counts_on_after_an_undo_and_ends_what_is_late(storage: Storage, acting: Acting) -> None:
    soon = storage.one("SELECT clock_timestamp() + interval '0.3 s'")
    storage.store([replace(job, options=Options(deadline=soon)) for job in storage.new(2)])
    (claimed,) = storage.claimer().claim(1)
    assert claimed.extras is not None and claimed.extras.deadline_in_s is not None
    storage.rows("UPDATE live SET worker = NULL, started_at = NULL")
    action_id = begin(acting, ActionKind.CANCEL)
    acting.finish(action_id)
    storage.rows("SELECT pg_sleep(0.35)")
    assert deadlines.fail_expired(acting.connection, 10, "deadline_exceeded", "late") == 0, "they are cancelled"
    assert storage.one("SELECT count(*) FROM deadlines") == 0
    assert acting.undo(action_id)["undone"] == 2
    (again,) = storage.claimer().claim(1)
    assert again.is_past_deadline
    assert deadlines.fail_expired(acting.connection, 10, "deadline_exceeded", "late") == 1
    assert storage.rows("SELECT status, epoch FROM outcomes WHERE epoch = 1") == [("FAILED", 1)]


def test_a_deadline_does_not_count_after_a_retry_by_request_nor_in_what_follows_it(storage: Storage, acting: Acting, client: Client) -> None:
    (job,) = (replace(job, options=Options(deadline=storage.one("SELECT clock_timestamp() + interval '1 h'"))) for job in storage.new(1))
    (job_id,) = storage.store([job])
    client.cancel(job_id).result(10)
    assert client.rerun(job_id).result(10)
    action_id = begin(acting, ActionKind.CANCEL)
    acting.finish(action_id)
    assert acting.undo(action_id)["undone"] == 1
    storage.rows("UPDATE deadlines SET at = clock_timestamp() - interval '1 s'")
    assert deadlines.fail_expired(acting.connection, 10, "deadline_exceeded", "late") == 0
    (claimed,) = storage.claimer().claim()
    assert claimed.extras is None


def test_what_ran_or_was_retried_meanwhile_is_not_undone_and_says_why(storage: Storage, acting: Acting, client: Client) -> None:
    claimer = storage.claimer()
    jobs = storage.submit(4)
    held = claimer.claim(1)
    action_id = begin(acting, ActionKind.CANCEL)
    assert acting.finish(action_id)["asked"] == 1
    claimer.settle(held)
    assert client.rerun(jobs[1]).result(10)
    storage.rows("DELETE FROM jobs WHERE id = %s", (jobs[2],))
    found = acting.undo(action_id, 1)
    assert (found["undone"], found["not_undone"]) == (1, {"was_running": 1, "moved_on": 1, "removed": 1})
    assert storage.rows("SELECT id::text, epoch FROM live ORDER BY id") == [(jobs[1], 1), (jobs[3], 1)]
    assert storage.rows("SELECT undo FROM reruns ORDER BY id") == [(False,), (True,)]


def test_what_was_retried_and_has_not_begun_is_taken_back(storage: Storage, acting: Acting) -> None:
    jobs, claimer = cancelled(storage, 3), storage.claimer()
    action_id = begin(acting, ActionKind.RETRY)
    acting.finish(action_id)
    (begun,) = claimer.claim(1)
    found = acting.undo(action_id)
    assert (found["undone"], found["not_undone"]) == (2, {"moved_on": 1})
    assert states(storage, [job for job in jobs if job != begun.id]) == ["CANCELLED"] * 2
    assert storage.state(begun.id) == "IN_PROGRESS"
    assert storage.one("SELECT count(*) FROM action_jobs") == 0


def test_priorities_are_given_back_to_what_waits_and_still_has_the_new_one(storage: Storage, acting: Acting) -> None:
    jobs = storage.submit(1, priority=1) + storage.submit(1, priority=7) + storage.submit(1, priority=9)
    action_id = begin(acting, ActionKind.REPRIORITISE)
    acting.finish(action_id)
    storage.rows("UPDATE live SET priority = 3 WHERE id = %s", (jobs[1],))
    found = acting.undo(action_id)
    assert (found["undone"], found["not_undone"]) == (2, {"moved_on": 1})
    assert storage.rows("SELECT priority FROM live ORDER BY id") == [(1,), (3,), (9,)]


def test_what_others_have_the_rows_of_is_undone_later(storage: Storage, acting: Acting) -> None:
    storage.submit(3)
    action_id = begin(acting, ActionKind.REPRIORITISE)
    acting.finish(action_id)
    holder = storage.session()
    holder.cursor().execute("SELECT FROM live ORDER BY id LIMIT 1 FOR UPDATE")
    acting.ask(action_id, Verb.UNDO)
    turn = acting.turn(action_id)
    assert turn is not None and (len(turn.changed.changed_ids), len(turn.changed.passed_ids)) == (2, 1)
    holder.rollback()
    assert acting.finish(action_id)["undone"] == 3
    assert storage.rows("SELECT DISTINCT priority FROM live") == [(5,)]


def test_an_undo_can_be_stopped_and_goes_on_and_so_does_what_was_undone_in_part(storage: Storage, acting: Acting) -> None:
    jobs = storage.submit(10)
    action_id = begin(acting, ActionKind.CANCEL)
    acting.turn(action_id, 6)
    acting.ask(action_id, Verb.STOP)
    acting.ask(action_id, Verb.UNDO)
    acting.turn(action_id, 2)
    assert acting.ask(action_id, Verb.STOP)["phase"] == "STOPPED"
    assert states(storage, jobs) == ["PENDING"] * 2 + ["CANCELLED"] * 4 + ["PENDING"] * 4
    acting.ask(action_id, Verb.START)
    assert acting.finish(action_id)["done"] == 10
    assert states(storage, jobs) == ["PENDING"] * 2 + ["CANCELLED"] * 8, "each job has its turn once"
    assert acting.undo(action_id)["undone"] == 10
    assert states(storage, jobs) == ["PENDING"] * 10
