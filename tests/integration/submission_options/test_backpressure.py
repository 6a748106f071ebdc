"""Back-pressure by the age of the oldest due job."""

from typing import Any

from rig.system import System, until

DATA = {"data": [1, 2], "operation": "square_sum"}


def test_a_late_queue_takes_no_more_and_says_when_to_come_again(system: System) -> None:
    system.api(JOBPROC_MAX_QUEUE_AGE_SECONDS="1").controller()
    first = system.submit("square_sum", 1)

    def refused() -> Any:
        answer = system.client.post("/jobs/", json=DATA)
        return answer if answer.status_code == 429 else None

    answer = until("it is late", refused)
    assert answer.json()["type"] == "urn:jobproc:problem:queue-late"
    assert 1 <= int(answer.headers["Retry-After"]) <= 300
    assert system.client.post("/jobs/batch", json=[DATA]).status_code == 429
    stored = system.database.one("SELECT count(*) FROM jobs")
    assert system.client.post("/jobs/", json=DATA).status_code == 429
    assert system.database.one("SELECT count(*) FROM jobs") == stored
    system.worker()
    system.wait(first)
    until("it is in time again", lambda: system.client.post("/jobs/", json=DATA).status_code == 202)
