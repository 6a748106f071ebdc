"""An uncommitted renewal while the lease runs out. The model of test_model.py has no clock for this."""

import pytest
from integration.store.support.storage import LONG_S, Claimer, Storage, ids
from rig.system import until

from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.workers import leases
from common.store.workers.leases import LeaseRenewal
from worker.controller.rescue import Rescue

AT_ONCE = {"square_sum": OperationSpec("square_sum", retry=RetryPolicy(3, 0, 0))}


def _renew_uncommitted(storage: Storage, parent: WorkerConnection, claimer: Claimer) -> None:
    """Renew in time without a commit, and wait until the lease that other sessions see has run out."""

    def renewed_in_time() -> bool:
        storage.rows(
            "UPDATE workers SET alive_until = clock_timestamp() + interval '0.2 s' WHERE id = %s", (claimer.id,)
        )
        parent._cursor.execute("BEGIN")
        if leases.renew(parent, LONG_S, [LeaseRenewal(claimer.id, 0, {})]):
            return True
        parent._cursor.execute("ROLLBACK")
        return False

    until("a renewal in time", renewed_in_time)
    until(
        "the old lease has run out",
        lambda: storage.value("SELECT alive_until < clock_timestamp() FROM workers WHERE id = %s", (claimer.id,)),
    )


def _rescue(connection: WorkerConnection) -> int:
    return Rescue(3).lost_workers(connection, AT_ONCE) + Rescue(3).orphaned_jobs(connection, AT_ONCE)


@pytest.mark.parametrize("commits", [True, False])
def test_an_uncommitted_renewal_in_time_delays_the_rescue_until_it_ends(storage: Storage, commits: bool) -> None:
    claimer, parent, controller = (
        storage.claimer(),
        storage.connection(by_index=False),
        storage.connection(by_index=False),
    )
    storage.submit(3)
    jobs = claimer.claim(2)
    _renew_uncommitted(storage, parent, claimer)
    assert _rescue(controller) == 0, "it neither waits nor rescues"
    assert claimer.claim() == [], "the worker claims nothing under an uncommitted lease"
    parent._cursor.execute("COMMIT" if commits else "ROLLBACK")
    assert _rescue(controller) == (0 if commits else 2)
    assert claimer.settle(jobs) == (set(ids(jobs)) if commits else set())
    assert storage.value("SELECT ended_at IS NULL FROM workers") == commits


@pytest.mark.parametrize("commits", [True, False])
def test_a_second_controller_skips_a_worker_whose_row_is_locked(storage: Storage, commits: bool) -> None:
    """Both controllers have found the worker lost. The second skips it while the first holds its row."""
    lost, first, second = storage.claimer(), storage.connection(by_index=False), storage.connection(by_index=False)
    storage.submit(2)
    lost.claim()
    lost.expire()
    expired = leases.expired_workers(second, 10)
    first._cursor.execute("BEGIN")
    assert leases.try_lock_worker(first, lost.id)
    assert Rescue(3)._rescue(second, expired, AT_ONCE) == 0
    assert leases.end_lease(first, lost.id) is False, "it holds jobs"
    first._cursor.execute("COMMIT" if commits else "ROLLBACK")
    assert Rescue(3)._rescue(second, expired, AT_ONCE) == 2
    assert Rescue(3)._rescue(second, expired, AT_ONCE) == 0
