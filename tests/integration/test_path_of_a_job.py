"""The path of a job: submit it, run it, fetch its result."""

from rig.system import System


def test_a_job_is_accepted_runs_and_has_its_result(system: System) -> None:
    system.all()
    response = system.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum"})
    assert response.status_code == 202
    body = response.json()
    assert set(body) == {"job_id", "status"}
    assert body["status"] == "PENDING"
    system.wait_status(body["job_id"], "SUCCESS")
    assert system.client.get(f"/jobs/{body['job_id']}/status").json() == {"status": "SUCCESS"}
    assert system.client.get(f"/jobs/{body['job_id']}/result").json() == {
        "job_id": body["job_id"],
        "status": "SUCCESS",
        "result": 14.0,
    }


def test_a_job_sums_cubes(system: System) -> None:
    system.all()
    assert system.wait(system.submit("cube_sum", 1, 2, -3.5))["result"] == 1 + 8 - 42.875


def test_job_details_show_input_result_and_every_attempt(system: System) -> None:
    system.all()
    job = system.wait(system.submit("fail_times", 1))
    assert job["status"] == "SUCCESS"
    assert job["attempt"] == 2
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["error", "success"]
    error = job["attempts"][0]["error"]
    assert (error["type"], error["text"]) == ("RuntimeError", "attempt 1 fails")
    assert error["traceback"].endswith("\nRuntimeError: attempt 1 fails")
    assert job["input"] == {"data": [1]}
    assert job["error"] is None
