"""Back-pressure by the age of the oldest due job."""

from typing import Any

from rig.system import System, until

DATA = {"data": [1, 2], "operation": "square_sum"}


def test_a_late_queue_refuses_submissions_with_retry_after(system: System) -> None:
    system.api(JOBPROC_MAX_QUEUE_AGE_SECONDS="1").controller()
    first = system.submit("square_sum", 1)

    def response_429() -> Any:
        response = system.client.post("/jobs/", json=DATA)
        return response if response.status_code == 429 else None

    response = until("the queue is late", response_429)
    assert response.json()["type"] == "urn:jobproc:problem:queue-late"
    assert 1 <= int(response.headers["Retry-After"]) <= 300
    assert system.client.post("/jobs/batch", json=[DATA]).status_code == 429
    stored = system.database.value("SELECT count(*) FROM jobs")
    assert system.client.post("/jobs/", json=DATA).status_code == 429
    assert system.database.value("SELECT count(*) FROM jobs") == stored
    system.worker()
    system.wait(first)
    until("the queue is no longer late", lambda: system.client.post("/jobs/", json=DATA).status_code == 202)
