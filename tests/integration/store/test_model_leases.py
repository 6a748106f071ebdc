"""A renewal that is under way while the lease before it runs out: what the model has no clock for."""

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


def _renewal_under_way(storage: Storage, parent: WorkerConnection, claimer: Claimer) -> None:
    """Begin a renewal in time, and wait until the lease that everybody else sees has run out."""

    def began() -> bool:
        storage.rows("UPDATE workers SET alive_until = clock_timestamp() + interval '0.2 s' WHERE id = %s", (claimer.id,))
        parent._cursor.execute("BEGIN")
        if leases.renew(parent, LONG_S, [LeaseRenewal(claimer.id, 0, {})]):
            return True
        parent._cursor.execute("ROLLBACK")
        return False

    until("a renewal began in time", began)
    until("the old lease has run out", lambda: storage.one("SELECT alive_until < clock_timestamp() FROM workers WHERE id = %s", (claimer.id,)))


def _rescue(connection: WorkerConnection) -> int:
    return Rescue(3).lost_workers(connection, AT_ONCE)[0] + Rescue(3).orphaned_jobs(connection, AT_ONCE)[0]


@pytest.mark.parametrize("commits", [True, False])
def test_a_renewal_that_began_in_time_keeps_the_rescue_away_until_it_ends(storage: Storage, commits: bool) -> None:
    claimer, parent, controller = storage.claimer(), storage.connection(by_index=False), storage.connection(by_index=False)
    storage.submit(3)
    jobs = claimer.claim(2)
    _renewal_under_way(storage, parent, claimer)
    assert _rescue(controller) == 0, "it neither waits nor takes"
    assert claimer.claim() == [], "nor does the worker claim under a lease that nobody can see"
    parent._cursor.execute("COMMIT" if commits else "ROLLBACK")
    assert _rescue(controller) == (0 if commits else 2)
    assert claimer.settle(jobs) == (set(ids(jobs)) if commits else set())
    assert storage.one("SELECT ended_at IS NULL FROM workers") == commits


@pytest.mark.parametrize("commits", [True, False])
def test_of_a_worker_whose_row_another_has_nobody_else_looks_after_the_jobs(storage: Storage, commits: bool) -> None:
    """Two controllers that have both found it lost: the second one passes it over, whatever becomes of the first."""
    dead, first, second = storage.claimer(), storage.connection(by_index=False), storage.connection(by_index=False)
    storage.submit(2)
    dead.claim()
    dead.expire()
    found = leases.expired_workers(second, 10)
    first._cursor.execute("BEGIN")
    assert leases.try_lock_worker(first, dead.id)
    assert Rescue(3)._rescue(second, found, AT_ONCE)[0] == 0
    assert leases.end_lease(first, dead.id) is False, "it holds jobs"
    first._cursor.execute("COMMIT" if commits else "ROLLBACK")
    assert Rescue(3)._rescue(second, found, AT_ONCE)[0] == 2
    assert Rescue(3)._rescue(second, found, AT_ONCE)[0] == 0
