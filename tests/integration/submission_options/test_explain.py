"""GET /jobs/{id}/explain: the reasons why a job is not running, by the conditions of the claim itself."""

from datetime import datetime
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.store.support.storage import Storage
from rig.system import System, until

from common.store.queues import explain


def explanation(system: System, job_id: str) -> dict[str, Any]:
    response = system.client.get(f"/jobs/{job_id}/explain")
    assert response.status_code == 200, response.text
    return dict(response.json())


def reason_codes(system: System, job_id: str) -> list[str]:
    return [reason["code"] for reason in explanation(system, job_id)["reasons"]]


def post(system: System, **body: Any) -> str:
    response = system.client.post("/jobs/", json={"data": [1], "operation": "square_sum"} | body)
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


def test_each_reason_is_named(system: System) -> None:
    system.api().controller()
    lone = post(system)
    assert reason_codes(system, lone) == ["queue_not_served"]
    assert explanation(system, lone)["position"] == {"ahead": 0, "exact": True}
    behind = post(system, priority=7)
    assert reason_codes(system, behind) == ["queue_not_served", "jobs_ahead"]
    assert explanation(system, behind)["position"]["ahead"] == 1
    later = post(system, delay_seconds=300)
    assert reason_codes(system, later) == ["queue_not_served", "not_due"]
    system.worker(concurrency=1)
    system.wait(behind)
    assert reason_codes(system, later) == ["not_due"]
    until(
        "the API has read the operations of the worker",
        lambda: system.client.post("/jobs/", json={"data": [0], "operation": "sleep"}).status_code == 202,
    )
    running = post(system, operation="sleep", data=[2.0])
    until("the job runs", lambda: reason_codes(system, running) == ["running"])
    queued = [post(system) for _ in range(3)]
    assert [explanation(system, job_id)["position"]["ahead"] for job_id in queued] == [0, 1, 2]
    assert reason_codes(system, queued[0]) == ["next"]
    system.database.rows("UPDATE live SET needs = 'nothing@7' WHERE id = %s", (queued[2],))
    explained = explanation(system, queued[2])
    assert [reason["code"] for reason in explained["reasons"]] == ["operation_not_known", "jobs_ahead"]
    assert "'nothing@7'" in explained["reasons"][0]["text"] and explained["expected_start"] is None
    system.wait(queued[1])
    assert reason_codes(system, running) == ["ended"]
    assert system.client.get("/jobs/01900000-0000-7000-8000-000000000000/explain").status_code == 404


def test_the_waiting_times_of_a_finished_job_add_up_to_its_total_time(shared: System) -> None:
    job_id = post(shared, operation="later", data=[1.0], delay_seconds=0.5)
    shared.wait(job_id)
    explained = explanation(shared, job_id)
    assert explained["status"] == "SUCCESS" and explained["reasons"][0]["code"] == "ended"
    waited = explained["waited"]
    assert 0.45 <= waited["scheduled_seconds"] <= 0.6
    assert 0.99 <= waited["paused_seconds"] <= 1.1
    assert 0 <= waited["running_seconds"] < 1 and 0 <= waited["queued_seconds"] < 3
    job = shared.job(job_id)
    total = (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()
    assert abs(sum(waited.values()) - total) < 0.1


def test_the_expected_start_is_a_range_around_the_rate_of_the_queue(shared: System) -> None:
    for _ in range(20):
        shared.wait(post(shared))
    blockers = []
    for _ in range(2):  # in sequence, so that no process claims both
        blockers.append(post(shared, operation="linger", data=[60.0]))
        shared.wait_status(blockers[-1], "IN_PROGRESS")
    waiting = [post(shared) for _ in range(5)]

    def expected() -> dict[str, str] | None:
        expected_start: dict[str, str] | None = explanation(shared, waiting[-1])["expected_start"]
        return expected_start

    expected_start = until("a rate is known", expected)
    assert expected_start["earliest"] < expected_start["latest"]
    for job_id in blockers:  # other tests share this worker
        assert shared.client.post(f"/jobs/{job_id}/cancel").status_code == 202
        shared.wait(job_id)


states = st.fixed_dictionaries(
    {
        "claimable_at": st.sampled_from(["now() - interval '1 min'", "now() + interval '1 min'"]),
        "needs": st.sampled_from(["NULL", "'square_sum'", "'square_sum@2'", "'other'"]),
        "queue": st.sampled_from(["'default'", "'elsewhere'"]),
        "alive": st.booleans(),
    }
)


@given(st.lists(states, min_size=1, max_size=6))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_explain_and_claim_agree_about_every_job(storage: Storage, rows: list[dict[str, Any]]) -> None:
    """A claim takes exactly the jobs for which explain names no reason but the jobs ahead."""
    storage.rows("DELETE FROM live")
    claimer = storage.claimer()
    ids = storage.submit(len(rows))
    for job_id, row in zip(ids, rows, strict=True):
        storage.rows(
            f"""UPDATE live SET claimable_at = {row["claimable_at"]}, needs = {row["needs"]}, queue = {row["queue"]}
                WHERE id = %s""",
            (job_id,),
        )
    if not rows[0]["alive"]:
        claimer.expire()

    async def read_free(connection: Any) -> set[str]:
        details = {job_id: await explain.unfinished_job(connection, 1, UUID(job_id), 1_000) for job_id in ids}
        return {
            job_id
            for job_id, job in details.items()
            if job and job["unclaimed"] and job["due"] and job["capable_workers"] and job["queue"] == "default"
        }

    free = storage.api(read_free)
    assert {job.id for job in claimer.claim()} == free
    storage.rows("DELETE FROM workers")
