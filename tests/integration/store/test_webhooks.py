"""The end of each run of a job with a webhook is told of once: by the settle, or by the controller that finds it."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from uuid import uuid4

import pytest
from integration.store.support.query_plans import explain
from integration.store.support.storage import ERROR, Storage, results
from integration.store.support.webhooks import Webhooks
from rig.system import until

from common.domain.decisions import Fail
from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Row, Statement
from common.store.jobs import claims
from common.store.webhooks import settle, sweep
from worker.controller.webhooks.sweep import WebhookSweep

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def webhooks(storage: Storage) -> Webhooks:
    return Webhooks(storage)


def test_a_settle_stores_a_delivery_of_each_job_with_a_webhook(storage: Storage, webhooks: Webhooks) -> None:
    with_webhook, plain = webhooks.submit(3), storage.submit(3)
    claimer = storage.claimer()
    jobs = claimer.claim()
    assert webhooks.settle(claimer, jobs) == {*with_webhook, *plain}
    assert webhooks.told() == [1, 1, 1]
    assert webhooks.deliveries() == 3
    row = "SELECT queue, needs, max_attempts, tenant FROM live"
    assert storage.rows(row) == [("webhooks", "jobproc.webhook", 21, 1)] * 3
    assert storage.value("SELECT count(*) FROM tags WHERE tag = %s", (f"webhook:{webhooks.endpoint}",)) == 3


def test_a_repeated_settle_stores_nothing_more(storage: Storage, webhooks: Webhooks) -> None:
    webhooks.submit(3)
    claimer = storage.claimer()
    jobs = claimer.claim()
    first = webhooks.settle(claimer, jobs)
    assert webhooks.settle(claimer, jobs) == first
    assert webhooks.deliveries() == 3


def test_a_fenced_result_tells_nobody(storage: Storage, webhooks: Webhooks) -> None:
    webhooks.submit()
    claimer = storage.claimer()
    [job] = claimer.claim()
    storage.rows("UPDATE live SET attempt = attempt + 1, worker = %s", (storage.claimer().id,))
    assert not webhooks.settle(claimer, [job])
    assert not webhooks.deliveries()


def test_an_end_without_a_settle_is_found(storage: Storage, webhooks: Webhooks) -> None:
    connection = storage.connection()
    finder = WebhookSweep(storage.settings)
    finder.run(connection)  # its place begins here
    webhooks.submit(4)
    claimer = storage.claimer()
    claimer.write(claimer.claim(3), Fail(ERROR))
    storage.rows(
        """WITH gone AS (DELETE FROM live WHERE worker IS NULL RETURNING *)
           INSERT INTO outcomes (id, run, attempt, released, rev, status)
           SELECT id, run, attempt, released, rev + 1, 'CANCELLED' FROM gone"""
    )
    assert finder.run(connection) == 4
    assert webhooks.told() == [1] * 4
    assert webhooks.types() == ["job.cancelled", "job.failed", "job.failed", "job.failed"]
    assert sum(finder.run(connection) for _ in range(5)) == 0


def test_a_cancelled_job_that_is_settled_is_told_of_once(storage: Storage, webhooks: Webhooks) -> None:
    connection, finder = storage.connection(), WebhookSweep(storage.settings)
    finder.run(connection)
    webhooks.submit(2)
    claimer = storage.claimer()
    jobs = claimer.claim()
    storage.rows("UPDATE live SET cancel_requested = true")
    webhooks.settle(claimer, jobs)
    assert finder.run(connection) == 0
    assert webhooks.types() == ["job.cancelled"] * 2


def test_a_settle_and_the_controller_at_once_store_one_delivery(storage: Storage, webhooks: Webhooks) -> None:
    """The settle has stored the delivery and not committed; the controller stores it too, waits, and finds it."""
    webhooks.submit()
    claimer = storage.claimer()
    jobs = claimer.claim()
    other = storage.connection()
    storage.rows("UPDATE live SET cancel_requested = true")
    with claimer.connection.transaction():
        webhooks.settle(claimer, jobs)
        # The outcome as the controller will see it, in its own transaction: the look-up alone is of interest here.
        began = sweep.snapshot_time(other)
        assert sweep.store(other, 1, "-infinity", "infinity", 100).read == 0
    assert sweep.store(other, 1, "-infinity", "infinity", 100).stored == 0
    assert began.transaction > began.oldest_transaction
    assert webhooks.told() == [1]


@pytest.mark.parametrize("others", [True, False], ids=["beside others", "alone"])
def test_an_end_that_is_committed_late_is_found(storage: Storage, webhooks: Webhooks, others: bool) -> None:
    """Its transaction was open for longer than the controller reads back: the place has waited for it."""
    connection, finder = storage.connection(), WebhookSweep(storage.settings)
    finder.run(connection)
    [late] = webhooks.submit()
    session = storage.session()
    session.cursor().execute(
        """WITH gone AS (DELETE FROM live WHERE id = %s RETURNING *)
           INSERT INTO outcomes (id, run, attempt, released, rev, status, finished_at)
           SELECT id, run, attempt, released, rev + 1, 'CANCELLED', clock_timestamp() FROM gone""",
        (late,),
    )
    end_s = time.monotonic() + 3.5  # more than the slack of two seconds
    while time.monotonic() < end_s:
        finder.run(connection)
        if others:
            webhooks.submit()
            claimer = storage.claimer()
            claimer.write(claimer.claim(), Fail(ERROR))
        time.sleep(0.3)
    session.commit()
    # Transactions of other databases hold it up too.
    until("all are told of", lambda: finder.run(connection) >= 0 and set(webhooks.told()) == {1})
    assert "job.cancelled" in webhooks.types()


def test_places_move_and_do_not_move_back(storage: Storage, webhooks: Webhooks) -> None:
    connection = storage.connection()
    [place] = sweep.places(connection).values()
    sweep.move(connection, 1, "2000-01-01 00:00:00+00")
    assert sweep.places(connection) == {1: place}
    now = sweep.snapshot_time(connection).at
    sweep.move(connection, 1, now)
    assert sweep.later_of(sweep.places(connection)[1], place) == sweep.places(connection)[1]


@pytest.mark.parametrize("change", ["deleted", "disabled", "another event", "another tenant"])
def test_nothing_is_stored_for_an_endpoint_that_wants_none(storage: Storage, webhooks: Webhooks, change: str) -> None:
    webhooks.submit(2)
    match change:
        case "deleted":
            storage.rows("DELETE FROM webhook_endpoints")
        case "disabled":
            storage.rows("UPDATE webhook_endpoints SET disabled_at = now(), disabled_reason = 'requested'")
        case "another event":
            storage.rows("UPDATE webhook_endpoints SET events = '{job.failed}'")
        case "another tenant":
            storage.rows("UPDATE webhook_endpoints SET tenant = 2")
    claimer = storage.claimer()
    assert len(webhooks.settle(claimer, claimer.claim())) == 2
    assert not webhooks.deliveries()


def test_an_unknown_endpoint_is_no_error(storage: Storage, webhooks: Webhooks) -> None:
    webhooks.submit(1, webhook=uuid4())
    claimer = storage.claimer()
    assert len(webhooks.settle(claimer, claimer.claim())) == 1
    assert not webhooks.deliveries()


def test_the_controller_without_endpoints_asks_one_cheap_question(storage: Storage) -> None:
    connection = storage.connection()
    storage.submit(50)
    claimer = storage.claimer()
    claimer.write(claimer.claim(), Fail(ERROR))
    assert WebhookSweep(storage.settings).run(connection) == 0
    plan = explain(connection, sweep.PLACES, (0,))
    assert plan.buffers < 20


def test_the_settle_looks_up_each_job_by_its_id(storage: Storage, webhooks: Webhooks) -> None:
    storage.fill(5_000)
    storage.rows("ANALYZE jobs, live")
    webhooks.submit(20)
    claimer = storage.claimer()
    jobs = [job for job in claimer.claim(6_000) if job.has_webhook][:20]
    arguments = (claimer.id, *results(jobs).arguments())
    plan = explain(claimer.connection, settle.STORE_DELIVERIES, arguments[:5])
    assert plan.buffers < 6_000, plan.buffers


class MortalConnection(WorkerConnection):
    """Kills its process before some statement, or after it, its commits included."""

    def _execute(self, sql: str, arguments: object = None) -> None:
        self._maybe_die()
        super()._execute(sql, arguments)  # type: ignore[arg-type]  # narrowed there
        self._maybe_die()

    def run(self, statement: Statement, arguments: Sequence[object]) -> list[Row]:
        rows = super().run(statement, arguments)
        self._maybe_die()
        return rows

    @staticmethod
    def _maybe_die() -> None:
        if random.random() < 0.01:
            os.kill(os.getpid(), signal.SIGKILL)


def _control(settings: Settings, stop: Event, seed: int) -> None:
    random.seed(seed)
    connection, finder = MortalConnection(settings, "controller", by_index=True), WebhookSweep(settings)
    while not stop.is_set():
        finder.run(connection)
        stop.wait(0.02)
    os._exit(0)  # without the cleanup of the test's process


def test_each_end_is_told_of_once_while_controllers_are_killed(storage: Storage, webhooks: Webhooks) -> None:
    finder, connection = WebhookSweep(storage.settings), storage.connection()
    finder.run(connection)
    stop, killed, number = FORK.Event(), 0, 0
    controllers: list[multiprocessing.process.BaseProcess] = []
    chance, end_s = random.Random(3), time.monotonic() + 8.0
    claimer = storage.claimer()
    while time.monotonic() < end_s:
        killed += sum(not controller.is_alive() for controller in controllers)
        controllers = [controller for controller in controllers if controller.is_alive()]
        while len(controllers) < 3:
            number += 1
            controllers.append(FORK.Process(target=_control, args=(storage.settings, stop, number)))
            controllers[-1].start()
        webhooks.submit(20)
        jobs = claimer.claim()
        storage.rows("UPDATE live SET cancel_requested = true WHERE worker IS NOT NULL AND random() < 0.3")
        failed = [job for job in jobs if chance.random() < 0.4]
        settled = [job for job in jobs if job not in failed]
        claimer.write(failed, Fail(ERROR))
        webhooks.settle(claimer, settled)
    stop.set()
    for controller in controllers:
        controller.join()
    until("all are told of", lambda: finder.run(connection) >= 0 and set(webhooks.told()) == {1})
    told = webhooks.told()
    print(f"{len(told)} ends, {killed} controllers killed")
    assert killed > 3
    assert len(told) > 200
    assert set(told) == {1}
    assert webhooks.deliveries() == len(told)
    assert storage.database.deadlocks() == 0


def test_plain_results_take_the_plain_settle(storage: Storage) -> None:
    storage.submit(2)
    claimer = storage.claimer()
    batch = results(claimer.claim())
    assert not batch.have_webhook
    assert len(settle.settle(claimer.connection, claimer.id, batch)) == 2
    assert claims.settle(claimer.connection, claimer.id, batch)


def test_expired_secrets_and_places_without_endpoints_are_deleted(storage: Storage, webhooks: Webhooks) -> None:
    connection, finder = storage.connection(), WebhookSweep(storage.settings)
    finder.run(connection)
    storage.rows(
        """INSERT INTO webhook_secrets (endpoint, id, secret, expires_at)
           SELECT %s, gen_random_uuid(), '', now() + d
           FROM unnest(ARRAY[interval '-1 s', interval '1 h', NULL]) AS d""",
        (str(webhooks.endpoint),),
    )
    assert finder.delete_old(connection) == 1
    assert storage.value("SELECT count(*) FROM webhook_secrets") == 2
    assert storage.value("SELECT count(*) FROM webhook_sweeps") == 1
    storage.rows("DELETE FROM webhook_endpoints")
    assert finder.delete_old(connection) == 1
    assert finder.run(connection) == 0
