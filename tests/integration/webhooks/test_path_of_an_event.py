"""The path of an event: a job with a webhook ends, its delivery runs, the receiver verifies the message."""

from collections.abc import Callable
from typing import Any

from rig.system import System, until
from rig.webhook_receiver import WebhookReceiver
from rig.webhook_signature import verified

Create = Callable[..., dict[str, Any]]


def test_a_job_that_succeeds_is_told_of(webhooks: System, receiver: WebhookReceiver, create: Create) -> None:
    endpoint = create(receiver.url("/hook?a=1"))
    response = webhooks.client.post(
        "/jobs/",
        json={
            "data": [1, 2, 3],
            "operation": "square_sum",
            "tags": ["a"],
            "metadata": {"order": 7},
            "webhook": {"endpoint_id": endpoint["id"]},
        },
    )
    assert response.status_code == 202, response.text
    job = webhooks.wait(response.json()["job_id"])
    until("the event", lambda: receiver.received)
    [request] = receiver.received
    assert request.path == "/hook?a=1"
    assert request.headers["content-type"] == "application/json"
    event = verified(request, endpoint["secret"])
    assert (event["type"], event["data"]["job_id"]) == ("job.succeeded", job["job_id"])
    assert event["data"]["status"] == "SUCCESS"
    assert (event["data"]["tags"], event["data"]["metadata"]) == (["a"], {"order": 7})
    assert "result" not in event["data"]
    delivery = webhooks.wait(request.headers["webhook-id"])
    assert (delivery["status"], delivery["operation"], delivery["queue"]) == ("SUCCESS", "jobproc.webhook", "webhooks")
    assert delivery["result"]["status"] == 204


def test_a_job_that_fails_is_told_of(webhooks: System, receiver: WebhookReceiver, create: Create) -> None:
    endpoint = create(receiver.url())
    response = webhooks.client.post(
        "/jobs/",
        json={"input": {"data": [1]}, "operation": "fail_for_good", "webhook": {"endpoint_id": endpoint["id"]}},
    )
    job = webhooks.wait(response.json()["job_id"])
    assert job["status"] == "FAILED"
    [event] = until("the event", lambda: receiver.events("job.failed"))
    assert event["data"]["job_id"] == job["job_id"]
    assert event["data"]["error"] == {"type": job["error"]["type"], "text": job["error"]["text"]}


def test_a_batch_is_told_of_when_it_has_ended(webhooks: System, receiver: WebhookReceiver, create: Create) -> None:
    endpoint = create(receiver.url(), events=["batch.ended"])
    response = webhooks.client.post(
        "/jobs/batch",
        json={
            "jobs": [{"data": [number], "operation": "square_sum"} for number in range(3)],
            "webhook": {"endpoint_id": endpoint["id"]},
        },
    )
    assert response.status_code == 202, response.text
    [event] = until("the event", receiver.events)
    data = event["data"]
    assert (data["batch_id"], data["jobs"], data["succeeded"]) == (response.json()["batch_id"], 3, 3)


def test_a_workflow_and_its_jobs_are_told_of(webhooks: System, receiver: WebhookReceiver, create: Create) -> None:
    """Deliveries are stored by the settles that let the next jobs run."""
    named = {"webhook": {"endpoint_id": create(receiver.url())["id"]}}
    job = {"data": [1], "operation": "square_sum", **named}
    response = webhooks.client.post(
        "/workflows",
        json={
            "jobs": [
                {**job, "name": "first"},
                {**job, "name": "second", "depends_on": ["first"]},
                {**job, "name": "join", "depends_on": ["first", "second"]},
            ],
            **named,
        },
    )
    assert response.status_code == 202, response.text
    [event] = until("the event of its end", lambda: receiver.events("workflow.ended"))
    body = response.json()
    assert (event["data"]["workflow_id"], event["data"]["succeeded"]) == (body["workflow_id"], 3)
    until("the events of its jobs", lambda: len(receiver.events("job.succeeded")) == 3)
    assert {told["data"]["job_id"] for told in receiver.events("job.succeeded")} == set(body["job_ids"])
