"""Idempotency keys of repeated requests, and unique keys that only one job may hold."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from rig.system import System, until

DATA = {"data": [1, 2, 3], "operation": "square_sum"}


def post(system: System, body: Any, key: str | None = None, path: str = "/jobs/") -> httpx.Response:
    return system.client.post(path, json=body, headers={} if key is None else {"Idempotency-Key": key})


def with_key(held_while: str = "both", on_conflict: str = "reject", key: str = "k", **body: Any) -> dict[str, Any]:
    return DATA | {"unique": {"key": key, "while": held_while, "on_conflict": on_conflict}} | body


def _register_operations(system: System) -> None:
    """Register the operations of the tests, and leave no worker running."""
    system.api().controller().worker().end("worker")


def count_jobs(system: System) -> int:
    return int(system.database.value("SELECT count(*) FROM jobs"))


# --- idempotency keys


def test_a_repeated_request_gets_the_same_job(system: System) -> None:
    system.all()
    first = post(system, DATA, "a")
    assert (first.status_code, "Idempotency-Replayed" in first.headers) == (202, False)
    job_id = first.json()["job_id"]
    system.wait(job_id)
    again = system.client.post(
        "/jobs",
        content='{ "operation":"square_sum", "data":[1,2,3] }',
        headers={"Idempotency-Key": "a", "Content-Type": "application/json"},
    )
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.json() == {"job_id": job_id, "status": "SUCCESS"}
    other = post(system, DATA | {"priority": 1}, "a")
    assert (other.status_code, other.json()["type"]) == (422, "urn:jobproc:problem:idempotency-key-reused")
    assert post(system, DATA, "b").json()["job_id"] != job_id
    assert count_jobs(system) == 2


def test_a_repeated_batch_gets_the_same_jobs(system: System) -> None:
    system.api()
    batch = [DATA, DATA | {"data": [5]}]
    first, again = post(system, batch, "a", "/jobs/batch"), post(system, batch, "a", "/jobs/batch")
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["job_ids"] == again.json()["job_ids"]
    assert post(system, batch[::-1], "a", "/jobs/batch").status_code == 422
    assert post(system, batch[0], "a").status_code == 422, "the path is part of the request"
    assert count_jobs(system) == 2


def test_concurrent_requests_with_the_same_idempotency_key_store_one_job(system: System) -> None:
    system.api()
    with ThreadPoolExecutor(16) as clients:
        responses = list(clients.map(lambda _: post(system, DATA, "a"), range(48)))
    assert sorted({response.status_code for response in responses}) == [200, 202]
    assert [response.status_code for response in responses].count(202) == 1
    assert len({response.json()["job_id"] for response in responses}) == 1
    assert count_jobs(system) == 1


def test_an_idempotency_key_expires(system: System) -> None:
    system.api(JOBPROC_IDEMPOTENCY_SECONDS="0.3").controller()
    first = post(system, DATA, "a").json()["job_id"]
    until("the key stores another job", lambda: post(system, DATA | {"data": [7]}, "a").status_code == 202)
    assert post(system, DATA | {"data": [7]}, "b").json()["job_id"] != first


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
def test_an_invalid_idempotency_key_is_refused(shared: System, key: str) -> None:
    response = post(shared, DATA, key)
    assert (response.status_code, response.json()["type"]) == (422, "urn:jobproc:problem:invalid-idempotency-key")


def test_a_refused_submission_leaves_its_idempotency_key_unused(system: System) -> None:
    system.api()
    assert post(system, DATA | {"priority": 77}, "a").status_code == 422
    assert post(system, with_key()).status_code == 202
    assert post(system, with_key(), "c").status_code == 409
    assert post(system, DATA, "a").status_code == 202
    assert post(system, DATA | {"data": [4]}, "c").status_code == 202


# --- unique keys


def test_a_second_job_with_a_unique_key_is_refused_until_the_first_has_ended(system: System) -> None:
    system.api().controller()
    first = post(system, with_key())
    assert first.status_code == 202
    refused = post(system, with_key())
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:jobproc:problem:unique-conflict")
    assert refused.json()["job_id"] == first.json()["job_id"]
    assert post(system, with_key(key="other")).status_code == 202
    system.worker()
    system.wait(first.json()["job_id"])
    assert post(system, with_key()).status_code == 202


def test_on_conflict_return_gets_the_job_that_holds_the_key(system: System) -> None:
    system.api()
    first = post(system, with_key(on_conflict="return"))
    again = post(system, with_key(on_conflict="return", data=[9]))
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert "Idempotency-Replayed" not in again.headers
    new = with_key(on_conflict="return", key="new")
    batch = post(system, [DATA, with_key(on_conflict="return"), new, new], path="/jobs/batch")
    assert batch.status_code == 202
    ids = batch.json()["job_ids"]
    assert ids[1] == first.json()["job_id"] and ids[2] == ids[3] and len(set(ids)) == 3
    assert count_jobs(system) == 3


def test_on_conflict_replace_cancels_a_waiting_job_but_no_running_one(system: System) -> None:
    _register_operations(system)
    first, second = (post(system, with_key(on_conflict="replace", operation="effect", data=[1.5, 0])) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert system.status(first.json()["job_id"]) == "CANCELLED"
    system.worker("later")
    system.wait_status(second.json()["job_id"], "IN_PROGRESS")
    assert post(system, with_key(on_conflict="replace")).status_code == 409
    assert system.wait(second.json()["job_id"])["status"] == "SUCCESS"
    assert {line["job"] for line in system.effects()} == {second.json()["job_id"]}


def test_a_key_held_while_waiting_is_free_as_soon_as_the_job_runs(system: System) -> None:
    _register_operations(system)
    first = post(system, with_key("waiting", operation="effect", data=[2, 0])).json()["job_id"]
    assert post(system, with_key("waiting")).status_code == 409
    system.worker("later")
    system.wait_status(first, "IN_PROGRESS")
    assert post(system, with_key("waiting", delay_seconds=30)).status_code == 202
    assert post(system, with_key("waiting")).status_code == 409


def test_jobs_with_a_key_held_while_running_run_one_after_the_other(system: System) -> None:
    system.api().worker("one").worker("two").controller()
    ids = [
        post(system, with_key("running", operation="effect", data=[0.3, n], key=f"k{n % 2}")).json()["job_id"]
        for n in range(8)
    ]
    system.wait_all()
    lines = [line for line in system.effects() if line["job"] in ids]
    for parity in range(2):
        phases = [
            line["phase"] for line in sorted(lines, key=lambda line: line["at"]) if ids.index(line["job"]) % 2 == parity
        ]
        assert phases == ["begin", "end"] * 4
    outcomes = [[attempt["outcome"] for attempt in system.job(job_id)["attempts"]] for job_id in ids]
    assert all(job[-1] == "success" and set(job[:-1]) <= {"released"} for job in outcomes), (
        "waiting for the key is not charged"
    )


def test_jobs_of_a_busy_key_delay_no_others_and_are_written_once(system: System) -> None:
    system.all()
    busy = post(system, with_key("running", operation="linger", data=[60.0])).json()["job_id"]
    system.wait_status(busy, "IN_PROGRESS")
    waiting = post(system, [with_key("running", data=[n]) for n in range(3_000)], path="/jobs/batch").json()["job_ids"]
    other = post(system, DATA).json()["job_id"]
    until("another job has run", lambda: system.status(other) == "SUCCESS", limit_s=2)
    assert system.database.rows("SELECT DISTINCT rev FROM live WHERE id <> %s", (busy,)) == [(0,)]
    assert system.status(waiting[0]) == "PENDING"
    explained = system.client.get(f"/jobs/{waiting[-1]}/explain").json()
    (reason,) = explained["reasons"]
    assert reason["code"] == "key_in_use" and busy in reason["text"]
    assert explained["position"] is None and explained["expected_start"] is None
    (stats,) = [queue for queue in system.client.get("/stats").json()["queues"] if queue["queue"] == "default"]
    assert (stats["queued"], stats["running"]) == (0, 1)
    (first,) = system.client.get("/jobs", params={"status": "PENDING", "limit": 1}).json()["jobs"]
    assert first["job_id"] in waiting and first["due_at"] < "2100", "not the end of time"
    system.client.post(f"/jobs/{waiting[0]}/cancel")
    # As a settle leaves it whose process dies before it wakes the next job: the controller does that.
    system.database.rows("DELETE FROM live WHERE id = %s", (busy,))
    system.wait(waiting[1])
    system.wait(waiting[2])


def test_jobs_of_a_key_all_run_although_their_processes_are_killed(system: System) -> None:
    """Right after the settle that frees a key, and right after the claim of the next job."""
    system.env.update(JOBPROC_LEASE_SECONDS="2", JOBPROC_HEARTBEAT_SECONDS="0.5")
    for name, failpoint in (("one", "settle.after_commit=kill"), ("two", "claim.after_commit=kill")):
        system.worker(name, JOBPROC_FAILPOINTS=f"{failpoint}@{system.folder / name}")
    system.api().controller()
    until("the operations are known", lambda: post(system, DATA | {"operation": "effect"}).status_code == 202)
    ids = [
        post(system, with_key("running", operation="effect", data=[0.02, n], key=f"k{n % 3}")).json()["job_id"]
        for n in range(60)
    ]
    for name in ("one", "two", "one", "two"):
        (system.folder / name).touch()
        until("a process was killed", lambda path=system.folder / name: not path.exists())  # type: ignore[misc]  # default binds it
    system.wait_all(limit_s=30)
    assert {system.status(job_id) for job_id in ids} == {"SUCCESS"}
    lines = [line for line in system.effects() if line["job"] in ids]
    for key in range(3):
        of_key = sorted((line["at"], line["phase"]) for line in lines if ids.index(line["job"]) % 3 == key)
        phases = [phase for _, phase in of_key]
        assert "end end" not in " ".join(phases), "no two of a key run at once"


def test_concurrent_submissions_leave_one_unfinished_job_of_a_unique_key(system: System) -> None:
    system.api()
    with ThreadPoolExecutor(16) as clients:
        responses = list(clients.map(lambda _: post(system, with_key()), range(48)))
        returned = list(
            clients.map(
                lambda n: post(system, with_key(on_conflict="return" if n % 2 else "replace", key="m")), range(48)
            )
        )
    assert sorted({response.status_code for response in responses}) == [202, 409]
    assert [response.status_code for response in responses].count(202) == 1
    assert {response.status_code for response in returned} <= {200, 202}
    assert system.database.rows("SELECT unique_key, count(*) FROM jobs JOIN live USING (id) GROUP BY 1 ORDER BY 1") == [
        ("k", 1),
        ("m", 1),
    ]


def test_a_manual_retry_takes_its_unique_key_again_unless_another_job_holds_it(system: System) -> None:
    system.api()
    first = post(system, with_key()).json()["job_id"]
    system.client.post(f"/jobs/{first}/cancel")
    second = post(system, with_key()).json()["job_id"]
    refused = system.client.post(f"/jobs/{first}/retry")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:jobproc:problem:unique-conflict")
    assert refused.json()["job_id"] == second
    assert system.status(first) == "CANCELLED"
    system.client.post(f"/jobs/{second}/cancel")
    assert system.client.post(f"/jobs/{first}/retry").status_code == 202
    refused = post(system, with_key())
    assert (refused.status_code, refused.json()["job_id"]) == (409, first)


def test_concurrent_manual_retries_and_submissions_leave_one_unfinished_job_of_a_unique_key(system: System) -> None:
    system.api()
    ended = []
    for _ in range(8):
        ended.append(post(system, with_key()).json()["job_id"])
        system.client.post(f"/jobs/{ended[-1]}/cancel")
    with ThreadPoolExecutor(16) as clients:
        responses = list(
            clients.map(
                lambda n: system.client.post(f"/jobs/{ended[n // 2 % 8]}/retry") if n % 2 else post(system, with_key()),
                range(48),
            )
        )
    assert [response.status_code for response in responses].count(202) == 1
    assert {response.status_code for response in responses} == {202, 409}
    assert system.database.value("SELECT count(*) FROM live") == 1


def test_keys_without_a_holder_are_deleted(system: System) -> None:
    system.all()
    system.wait(post(system, with_key(), "a").json()["job_id"])
    assert (
        system.database.value("SELECT (SELECT count(*) FROM idempotency_keys) + (SELECT count(*) FROM unique_keys)")
        == 2
    )
    system.database.rows("UPDATE idempotency_keys SET until = now() - interval '1 s'")
    system.database.rows("UPDATE unique_keys SET id = '01900000-0000-7000-8000-000000000000'")
    system.end("controller")
    system.controller()
    until(
        "both keys are deleted",
        lambda: (
            system.database.value("SELECT (SELECT count(*) FROM idempotency_keys) + (SELECT count(*) FROM unique_keys)")
            == 0
        ),
    )
