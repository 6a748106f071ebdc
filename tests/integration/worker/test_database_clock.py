"""The database's clock jumps by ten minutes while jobs run: a failover to a wrong clock, and its correction."""

import signal
from collections.abc import Callable

import pytest
from rig import clock
from rig.clock import Clock
from rig.system import System, until

from tools.servers import Postgres

STEP_S = 600
#: The number of attempts that started before the pause after the previous attempt was over.
EARLY = """
WITH begun AS (
    SELECT id, attempt, started_at, retry_at FROM attempts
    UNION ALL SELECT id, attempt, started_at, NULL FROM outcomes)
SELECT count(*) FROM begun one JOIN begun next ON next.id = one.id AND next.attempt = one.attempt + 1
WHERE next.started_at < one.retry_at
"""
pytestmark = pytest.mark.skipif(bool(clock.missing()), reason=clock.missing())


@pytest.fixture
def database_clock(own_postgres: Postgres) -> Clock:
    """The settable clock of this test's PostgreSQL."""
    own_postgres.stop()
    settable = Clock(own_postgres.folder.parent)
    own_postgres.env = settable.env
    own_postgres.start()
    return settable


@pytest.fixture
def system(make_system: Callable[..., System], own_postgres: Postgres, redis_url: str, database_clock: Clock) -> System:
    """An API and a controller whose database has a settable clock."""
    return make_system(own_postgres.url(), redis_url).api().controller()


def test_a_clock_set_forward_ends_leases_early_and_the_late_result_of_a_running_worker_is_fenced(
    system: System, database_clock: Clock
) -> None:
    system.worker()
    job_id = system.submit("effect", 1.0, 1)
    until("the job runs", system.effects)
    database_clock.set(STEP_S)
    job = system.wait(job_id)
    assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", 1, 2)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["lost", "success"]
    assert [line["attempt"] for line in system.effects() if line["phase"] == "begin"] == [1, 2]
    assert [
        event["count"]
        for event in until("the first result is fenced", lambda: system.events("worker", "results_fenced"))
    ] == [1]
    job = system.wait(system.submit("noop", 1), limit_s=10)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 1), "the worker runs jobs under new leases"


def test_a_clock_set_back_shortens_no_pause_and_delays_no_later_job(system: System, database_clock: Clock) -> None:
    """This holds with a crashed worker too: its marks stay in the future until its lease ends, later by the step."""
    system.worker("crashed", concurrency=1)
    until(
        "the worker has published its low-water marks",
        lambda: system.database.value("SELECT count(*) FROM workers WHERE low_water_marks <> '{}'"),
    )
    held = system.submit("effect", 1.0, 1)
    until("the job runs", system.effects)
    system.end("crashed", signal.SIGKILL)
    database_clock.set(-STEP_S)
    system.worker()
    for job_id in system.submit_many("fail_times", [[4]] * 10):
        job = system.wait(job_id, limit_s=10)
        assert (job["status"], job["attempt"]) == ("SUCCESS", 5)
    assert system.database.value(EARLY) == 0, "retries without their pause"
    assert system.status(held) == "IN_PROGRESS", "the lease of the crashed worker follows the database's clock"
    database_clock.set(0)
    job = system.wait(held)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 2)
