"""The page docs/howto/end-of-day-report.md: an instant of the schedule runs a job a branch and tells the receiver."""

import json
import re
from pathlib import Path

from integration.batches.test_howto import request_of
from integration.webhooks.conftest import settings_for
from integration.workflows.test_workflows import at_rest, workflow
from rig.packages import add_package
from rig.system import System, until
from rig.webhook_receiver import WebhookReceiver

from jobproc import testing

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "howto" / "end-of-day-report.md").read_text()
(CODE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ENDPOINT, SCHEDULE = re.findall(r"^curl .*$", PAGE, re.MULTILINE)
#: The schedule's next instant is a past one, which is due.
DUE = """
UPDATE schedules SET next_at = d.at, due_at = d.at
FROM (SELECT date_trunc('second', now()) AS at) d WHERE name = 'end-of-day' RETURNING d.at
"""


def test_the_report_of_the_page_runs_and_tells_the_receiver(system: System, receiver: WebhookReceiver) -> None:
    add_package(system, "end_of_day_report", CODE)
    system.env.update(settings_for(receiver))
    system.api().worker(queues="default,webhooks", JOBPROC_API_URL=f"http://127.0.0.1:{system.port}").controller()
    command = ENDPOINT.replace("https://hooks.example.com/reports", receiver.url("/reports"))
    endpoint = system.client.request(**request_of(command)).raise_for_status().json()
    schedule = system.client.request(**request_of(SCHEDULE.replace("ID", endpoint["id"]))).raise_for_status().json()

    instant = system.database.value(DUE)
    [event] = until("the receiver is told", receiver.events, limit_s=60)
    found = workflow(system, event["data"]["workflow_id"])
    assert (found["status"], found["jobs"], found["counts"]["succeeded"]) == ("SUCCEEDED", 1001, 1001)
    assert (event["type"], receiver.received[0].path) == ("workflow.ended", "/reports")
    assert {name: event["data"][name] for name in ("jobs", "succeeded", "failed")} == {
        "jobs": 1001,
        "succeeded": 1001,
        "failed": 0,
    }

    [fire] = system.client.get(f"/schedules/{schedule['id']}/fires").json()["fires"]
    begun = system.job(fire["job_id"])
    assert (begun["status"], begun["result"]) == ("SUCCESS", found["workflow_id"])
    assert begun["metadata"]["scheduled_at"] == instant.isoformat()
    [total] = system.client.get("/jobs?operation=report.total").json()["jobs"]
    assert system.job(total["job_id"])["result"] == {
        "total": sum(len(f"branch-{number}") * 100 for number in range(1000)),
        "missing": 0,
    }
    assert system.database.value("SELECT count(DISTINCT input::jsonb ->> 'day') FROM jobs WHERE node <> 'total'") == 1


def test_a_branch_that_fails_is_missing_until_it_is_retried(system: System, receiver: WebhookReceiver) -> None:
    failing = CODE.replace(
        "    return len(branch) * 100",
        "    import os, pathlib\n"
        "    if branch == 'branch-1' and pathlib.Path(os.environ['JOBPROC_TEST_FOLDER'], 'closed').exists():\n"
        "        raise ValueError\n"
        "    return 100",
    ).replace("max_attempts=5", "max_attempts=1")
    (system.folder / "closed").touch()
    add_package(system, "end_of_day_report", failing)
    system.env.update(settings_for(receiver))
    system.api().worker(queues="default,webhooks", JOBPROC_API_URL=f"http://127.0.0.1:{system.port}").controller()
    endpoint = system.client.post("/webhooks/endpoints", json={"url": receiver.url()}).raise_for_status().json()
    job_input = {"branches": 3, "endpoint_id": endpoint["id"]}
    body = {"operation": "report.begin", "input": job_input, "metadata": {"scheduled_at": "2026-11-30T18:00:00+00:00"}}
    begun = system.wait(system.client.post("/jobs/", json=body).json()["job_id"])
    assert at_rest(system, begun["result"])["status"] == "FAILED"
    until("the receiver is told", lambda: receiver.events("workflow.ended"))
    [total] = system.client.get("/jobs?operation=report.total").json()["jobs"]
    assert system.job(total["job_id"])["result"] == {"total": 200, "missing": 1}

    (system.folder / "closed").unlink()
    assert system.client.post(f"/workflows/{begun['result']}/retry").status_code == 200
    until("the receiver is told again", lambda: len(receiver.events("workflow.ended")) == 2)
    assert at_rest(system, begun["result"])["status"] == "SUCCEEDED"


def test_the_operations_of_the_page_run_without_a_server() -> None:
    namespace: dict[str, object] = {"__name__": "end_of_day_report"}
    exec(compile(CODE, "end_of_day_report", "exec"), namespace)  # noqa: S102 - the code of the page
    metadata = {"scheduled_at": "2026-11-30T18:00:00+00:00"}
    begun = testing.run("report.begin", {"branches": 2, "endpoint_id": "an-id"}, metadata=metadata)
    (submitted,) = begun.workflows
    assert begun.result == submitted.workflow_id
    assert [job["name"] for job in submitted.jobs] == ["branch-0", "branch-1", "total"]
    assert submitted.options["webhook"] == {"endpoint_id": "an-id"}
    assert json.dumps(submitted.jobs[0]["input"]) == '{"branch": "branch-0", "day": "2026-11-30T18:00:00+00:00"}'
    total = testing.run("report.total", parents={"branch-0": 5, "branch-1": 7})
    assert total.result == {"total": 12, "missing": 0}
