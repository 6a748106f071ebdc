"""GET /jobs/{id}/explain: why a job is not running, by the conditions of the claim itself."""

from datetime import datetime
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.store.support.storage import Storage
from rig.system import System, until

from common.store.queues import explain


def why(system: System, job_id: str) -> dict[str, Any]:
    answer = system.client.get(f"/jobs/{job_id}/explain")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def codes(system: System, job_id: str) -> list[str]:
    return [one["code"] for one in why(system, job_id)["reasons"]]


def post(system: System, **body: Any) -> str:
    answer = system.client.post("/jobs/", json={"data": [1], "operation": "square_sum"} | body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def test_each_cause_is_named(system: System) -> None:
    system.api().controller()
    lone = post(system)
    assert codes(system, lone) == ["queue_not_served"]
    assert why(system, lone)["position"] == {"ahead": 0, "exact": True}
    behind = post(system, priority=7)
    assert codes(system, behind) == ["queue_not_served", "jobs_before"]
    assert why(system, behind)["position"]["ahead"] == 1
    later = post(system, delay=300)
    assert codes(system, later) == ["queue_not_served", "not_due"]
    system.worker(concurrency=1)
    system.wait(behind)
    assert codes(system, later) == ["not_due"]
    until("the API has read of it", lambda: system.client.post("/jobs/", json={"data": [0], "operation": "sleep"}).status_code == 202)
    running = post(system, operation="sleep", data=[2.0])
    until("it runs", lambda: codes(system, running) == ["running"])
    queued = [post(system) for _ in range(3)]
    assert [why(system, one)["position"]["ahead"] for one in queued] == [0, 1, 2]
    assert codes(system, queued[0]) == ["next"]
    system.database.rows("UPDATE live SET needs = 'nothing@7' WHERE id = %s", (queued[2],))
    found = why(system, queued[2])
    assert [one["code"] for one in found["reasons"]] == ["operation_not_known", "jobs_before"]
    assert "'nothing@7'" in found["reasons"][0]["text"] and found["expected_start"] is None
    system.wait(queued[1])
    assert codes(system, running) == ["ended"]
    assert system.client.get("/jobs/01900000-0000-7000-8000-000000000000/explain").status_code == 404


def test_after_the_run_it_says_what_the_time_went_into(shared: System) -> None:
    job_id = post(shared, operation="later", data=[1.0], delay=0.5)
    shared.wait(job_id)
    found = why(shared, job_id)
    assert found["status"] == "SUCCESS" and found["reasons"][0]["code"] == "ended"
    waited = found["waited"]
    assert 0.45 <= waited["scheduled_s"] <= 0.6
    assert 0.99 <= waited["paused_s"] <= 1.1
    assert 0 <= waited["running_s"] < 1 and 0 <= waited["queued_s"] < 3
    job = shared.job(job_id)
    total = (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()
    assert abs(sum(waited.values()) - total) < 0.1


def test_the_expected_start_is_a_range_around_the_rate_of_the_queue(shared: System) -> None:
    for _ in range(20):
        shared.wait(post(shared))
    blockers = []
    for _ in range(2):  # one after the other, so that no process takes both
        blockers.append(post(shared, operation="linger", data=[60.0]))
        shared.wait_status(blockers[-1], "IN_PROGRESS")
    waiting = [post(shared) for _ in range(5)]

    def expected() -> dict[str, str] | None:
        found: dict[str, str] | None = why(shared, waiting[-1])["expected_start"]
        return found

    found = until("a rate is known", expected)
    assert found["earliest"] < found["latest"]
    for one in blockers:  # others share this worker
        assert shared.client.post(f"/jobs/{one}/cancel").status_code == 202
        shared.wait(one)


states = st.fixed_dictionaries(
    {
        "pos": st.sampled_from(["now() - interval '1 min'", "now() + interval '1 min'"]),
        "needs": st.sampled_from(["NULL", "'square_sum'", "'square_sum@2'", "'other'"]),
        "queue": st.sampled_from(["'default'", "'elsewhere'"]),
        "alive": st.booleans(),
    }
)


@given(st.lists(states, min_size=1, max_size=6))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_explain_and_claim_agree_about_every_job(storage: Storage, rows: list[dict[str, Any]]) -> None:
    """What a claim takes is what nothing holds but jobs before it, and the other way round."""
    storage.rows("DELETE FROM live")
    claimer = storage.claimer()
    ids = storage.submit(len(rows))
    for job_id, row in zip(ids, rows, strict=True):
        storage.rows(f"UPDATE live SET pos = {row['pos']}, needs = {row['needs']}, queue = {row['queue']} WHERE id = %s", (job_id,))
    if not rows[0]["alive"]:
        claimer.expire()

    async def look(connection: Any) -> set[str]:
        found = {job_id: await explain.unfinished_job(connection, UUID(job_id), 1_000) for job_id in ids}
        return {job_id for job_id, one in found.items() if one and one["unheld"] and one["due"] and one["knowing"] and one["queue"] == "default"}

    free = storage.api(look)
    assert {job.id for job in claimer.claim()} == free
    storage.rows("DELETE FROM workers")
