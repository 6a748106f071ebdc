"""PostgreSQL killed at random moments of claims, settles and ticks: no process ends, no result is refused."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable

from faults.environment import PatientDatabase
from rig.proxy import CRASH_WARNING, Proxy
from rig.servers import kill_backend
from rig.system import System

from tools.servers import Postgres

MAX_MOMENT_S = 0.2  # of the load before each fault
UNEXPECTED = ("supervisor_failed", "serving_failed", "settle_failed", "rescue_failed", "request_failed")


def _run_under_load(system: System, faults: int, inject: Callable[[random.Random], str | None]) -> Counter[str]:
    """Inject a fault repeatedly under load, each time at a random moment, and check all jobs and processes at the end.

    Returns how often each fault happened. The clients' database connection must wait for PostgreSQL.
    """
    seed = os.environ.get("JOBPROC_FAULTS_SEED") or random.SystemRandom().randrange(10**6)
    print(f"JOBPROC_FAULTS_SEED={seed}")
    chance, pids, happened, jobs = random.Random(f"{seed}"), set(system.children()), Counter[str](), list[str]()
    while happened.total() < faults:
        bodies = [{"operation": name, "data": [0.01, n]} for n in range(10) for name in ("effect", "await_effect")]
        response = system.client.post("/jobs/batch", json=bodies)
        if response.status_code == 202:
            jobs += response.json()["job_ids"]
        time.sleep(chance.uniform(0, MAX_MOMENT_S))  # the moment of the fault, not a wait for an effect
        if shown := inject(chance):
            happened[shown] += 1
    system.wait_all()
    rows = system.database.rows("SELECT id::text, status, error_text FROM outcomes")
    assert {row[1] for row in rows} == {"SUCCESS"}, [row for row in rows if row[1] != "SUCCESS"][:3]
    assert set(jobs) <= {row[0] for row in rows}
    assert set(system.children()) == pids
    for name, process in system.processes.items():
        assert process.poll() is None, name
        assert "Traceback" not in system.log(name)
        assert not [event for event in UNEXPECTED if system.events(name, event)], name
    return happened


def test_connections_that_end_with_a_warning_of_a_crash_end_no_process(system: System, database_url: str) -> None:
    """Twelve times all connections end, with a message that is unread when the next statement is sent."""
    with Proxy.before(database_url) as proxy:
        url = proxy.url_of(database_url)
        system.all(DATABASE_URL=url, JOBPROC_LEASE_SECONDS="60", JOBPROC_RECONNECT_MAX_DELAY_SECONDS="0.1")

        def end_connections(_chance: random.Random) -> str:
            proxy.reset(CRASH_WARNING)
            return "reset"

        _run_under_load(system, 12, end_connections)
        system.close()  # before the proxy


def test_postgresql_killed_under_load_ends_no_process_and_refuses_no_result(
    make_system: Callable[..., System], own_postgres: Postgres, redis_url: str
) -> None:
    """Ten times; `make faults` kills it more often."""
    system = make_system(
        own_postgres.url(), redis_url, JOBPROC_LEASE_SECONDS="60", JOBPROC_RECONNECT_MAX_DELAY_SECONDS="0.1"
    ).all()
    system.database = PatientDatabase(own_postgres.url())
    killed = _run_under_load(system, 10, lambda chance: kill_backend(system.database, chance))
    assert len(killed) > 1, killed
