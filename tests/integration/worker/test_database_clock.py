"""The database's clock is set, by ten minutes in one step, while jobs run: a failover to a machine with a wrong clock, and its righting."""

import signal
from collections.abc import Callable

import pytest
from rig import clock
from rig.clock import Clock
from rig.system import System, until

from tools.servers import Postgres

STEP_S = 600
#: Attempts that began before the pause after the one before was over.
EARLY = """
WITH begun AS (SELECT id, attempt, started_at, retry_at FROM attempts UNION ALL SELECT id, attempt, started_at, NULL FROM outcomes)
SELECT count(*) FROM begun one JOIN begun next ON next.id = one.id AND next.attempt = one.attempt + 1 WHERE next.started_at < one.retry_at
"""
pytestmark = pytest.mark.skipif(bool(clock.missing()), reason=clock.missing())


@pytest.fixture
def database_clock(own_postgres: Postgres) -> Clock:
    """The clock of this test's PostgreSQL."""
    own_postgres.stop()
    settable = Clock(own_postgres.folder.parent)
    own_postgres.env = settable.env
    own_postgres.start()
    return settable


@pytest.fixture
def system(make_system: Callable[..., System], own_postgres: Postgres, redis_url: str, database_clock: Clock) -> System:
    """A system whose database's clock may be set."""
    return make_system(own_postgres.url(), redis_url).api().controller()


def test_a_clock_set_forward_ends_leases_early_and_the_late_result_of_a_living_worker_is_refused(system: System, database_clock: Clock) -> None:
    system.worker()
    job_id = system.submit("effect", 1.0, 1)
    until("it has begun", system.effects)
    database_clock.set(STEP_S)
    job = system.wait(job_id)
    assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", 1, 2)
    assert [one["outcome"] for one in job["attempts"]] == ["lost", "success"]
    assert [line["attempt"] for line in system.effects() if line["phase"] == "begin"] == [1, 2]
    assert [event["count"] for event in until("the first result has been refused", lambda: system.events("worker", "results_refused"))] == [1]
    job = system.wait(system.submit("noop", 1), limit_s=10)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 1), "work goes on under new leases"


def test_a_clock_set_back_ends_no_pause_and_holds_up_no_job_that_comes_later(system: System, database_clock: Clock) -> None:
    """Not even beside a worker that died before: its marks lie ahead for as long as its lease, which the step has made longer."""
    system.worker("died", concurrency=1)
    until("it has looked, and said so", lambda: system.database.one("SELECT count(*) FROM workers WHERE low <> '{}'"))
    held = system.submit("effect", 1.0, 1)
    until("it has begun", system.effects)
    system.end("died", signal.SIGKILL)
    database_clock.set(-STEP_S)
    system.worker()
    for job_id in system.submit_many("fail_times", [[4]] * 10):
        job = system.wait(job_id, limit_s=10)
        assert (job["status"], job["attempt"]) == ("SUCCESS", 5)
    assert system.database.one(EARLY) == 0, "retries that did not wait"
    assert system.status(held) == "IN_PROGRESS", "the lease of the dead worker is the database's time"
    database_clock.set(0)
    job = system.wait(held)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 2)
