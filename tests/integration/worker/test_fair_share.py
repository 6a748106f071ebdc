"""Fair share between tenants, through real worker processes: few jobs of one beside a flood of another."""

import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest
from rig.system import System, until

STORE = """
WITH new AS (
    INSERT INTO jobs (id, tenant, operation, queue, input, max_attempts)
    SELECT uuidv7(), %s, %s, 'default', json_build_object('data', %s::float8[]), 3 FROM generate_series(1, %s)
    RETURNING id, tenant, operation)
INSERT INTO live (id, tenant, queue, max_attempts, claimable_at, needs)
SELECT id, tenant, 'default', 3, clock_timestamp(), operation FROM new RETURNING id::text
"""
#: Jobs of tenant 1 that started after a job was stored and before it started.
OVERTAKEN_BY = """
SELECT count(*) FROM outcomes other JOIN jobs j ON j.id = other.id AND j.tenant = 1,
     outcomes o JOIN jobs mine USING (id)
WHERE o.id = %s AND other.started_at BETWEEN mine.created_at AND o.started_at
"""


def store(system: System, tenant: int, operation: str, data: Sequence[float], count: int = 1) -> list[str]:
    return [row[0] for row in system.database.rows(STORE, (tenant, operation, list(data), count))]


def left(system: System, tenant: int) -> int:
    return int(system.database.value("SELECT count(*) FROM live WHERE tenant = %s", (tenant,)))


def wait_ended(system: System, jobs: Sequence[str]) -> None:
    until(
        "they have ended",
        lambda: (
            system.database.value("SELECT count(*) FROM outcomes WHERE id = ANY (%s::uuid[])", (jobs,)) == len(jobs)
        ),
        60,
    )


@pytest.fixture
def tenants(system: System) -> System:
    """A system with three tenants, and one worker process."""
    system.database.rows("INSERT INTO tenants (name) VALUES ('second'), ('third')")
    return system.api().controller().worker(concurrency=1, JOBPROC_ASYNC_CONCURRENCY="5")


@pytest.mark.parametrize(
    ("operation", "data", "flood", "at_once"),
    [("sleep", [0.005], 1_500, 15), ("await_only", [0.05], 400, 5)],
    ids=["plain", "async"],
)
def test_single_jobs_are_started_within_a_batch_beside_a_flood(
    tenants: System, operation: str, data: list[float], flood: int, at_once: int
) -> None:
    """A batch takes 50 ms; the next look at the tenants follows within 50 ms, or after the batch that runs then."""
    store(tenants, 1, operation, data, flood)
    done = "SELECT count(*) FROM outcomes"
    until("the flood is being drained", lambda: tenants.database.value(done) > 5 * at_once)
    singles = []
    for tenant in (2, 3, 2, 3):
        singles += (one := store(tenants, tenant, operation, data))
        wait_ended(tenants, one)
    assert left(tenants, 1) > 0, "they have not waited for its end"
    overtaken = [tenants.database.value(OVERTAKEN_BY, (job,)) for job in singles]
    assert max(overtaken) <= 6 * at_once, f"{overtaken} jobs of the flood came first"


def test_two_floods_are_served_side_by_side_and_a_killed_process_loses_nothing(tenants: System) -> None:
    jobs = store(tenants, 1, "sleep", [0.002], 600) + store(tenants, 2, "sleep", [0.002], 600)
    of_second = "SELECT count(*) FROM outcomes WHERE tenant = 2"
    until("both are served", lambda: tenants.database.value(of_second) > 50)
    assert left(tenants, 1) > 0 and left(tenants, 2) > 0
    os.kill(tenants.children()[0], signal.SIGKILL)
    wait_ended(tenants, jobs)
    assert tenants.database.value("SELECT count(*) FROM live") == 0
    assert tenants.database.rows("SELECT status, count(*) FROM outcomes GROUP BY 1") == [("SUCCESS", len(jobs))]


def test_jobs_of_a_running_key_take_turns_beside_a_flood_of_another_tenant(tenants: System) -> None:
    store(tenants, 2, "sleep", [0.005], 1_500)
    until("the flood is being drained", lambda: tenants.database.value("SELECT count(*) FROM outcomes") > 50)
    body = {"data": [0.01], "operation": "effect", "unique": {"key": "k", "while": "running"}}
    keyed = [str(tenants.client.post("/jobs/", json=body).json()["job_id"]) for _ in range(4)]
    wait_ended(tenants, keyed)
    assert left(tenants, 2) > 0, "they have not waited for its end"
    lines = sorted((line for line in tenants.effects() if line["job"] in keyed), key=lambda line: float(line["at"]))
    assert [line["phase"] for line in lines] == ["begin", "end"] * 4


def test_a_suspended_tenants_jobs_wait_until_it_is_active_again(tenants: System) -> None:
    tenants.database.rows("UPDATE tenants SET state = 'SUSPENDED', changed_at = clock_timestamp() WHERE id = 2")
    waiting = store(tenants, 2, "noop", [1], 20)
    for _ in range(3):
        wait_ended(tenants, store(tenants, 1, "noop", [1], 5))
    assert left(tenants, 2) == 20
    tenants.database.rows("UPDATE tenants SET state = 'ACTIVE', changed_at = clock_timestamp() WHERE id = 2")
    wait_ended(tenants, waiting)


def test_an_explanation_tells_the_own_place_and_that_others_wait_too_but_not_who(system: System) -> None:
    system.database.rows("INSERT INTO tenants (name) VALUES ('second'), ('third')")
    system.api().controller().worker(concurrency=1, JOBPROC_HEARTBEAT_SECONDS="0.3")
    first, second = (store(system, tenant, "sleep", [0.02], 400) for tenant in (1, 2))

    def explained(job: str) -> dict[str, Any]:
        return dict(system.client.get(f"/jobs/{job}/explain").json())

    def codes() -> list[str]:
        return [reason["code"] for reason in explained(first[-1])["reasons"]]

    until("the workers have said which tenants wait", lambda: codes() == ["jobs_ahead", "other_tenants"])
    explanation = explained(first[-1])
    assert 0 < explanation["position"]["ahead"] < 400, "the jobs of the other one are no part of its place"
    assert not any(job in str(explanation) for job in second)
    assert "second" not in str(explanation["reasons"]) and "Other tenants' share" in explanation["reasons"][1]["text"]
    until("there are rates", lambda: explained(first[-1])["expected_start"] is not None)
    system.database.rows("UPDATE tenants SET state = 'SUSPENDED', changed_at = clock_timestamp() WHERE id = 1")
    explanation = explained(first[-1])
    assert explanation["reasons"][0]["code"] == "tenant_suspended"
    assert explanation["expected_start"] is None
    until("nobody else waits", lambda: left(system, 2) == 0, 60)
    assert left(system, 1) > 0
