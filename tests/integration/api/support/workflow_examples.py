"""Requests that make the API send each documented example of a response about workflows."""

import uuid
from typing import Any

import httpx
from integration.api.support.documented_examples import Operation, body_examples
from integration.api.support.example_client import JOB, LATER, ExampleClient, Provoke
from rig.system import until

SUBMIT: Operation = ("post", "/workflows")
JOBS = body_examples(SUBMIT)[0]["jobs"]


def body(**members: Any) -> dict[str, Any]:
    """Return the documented workflow; `members` are of its first job, so it may wait or be wrong."""
    return {"jobs": [JOBS[0] | members, *JOBS[1:]]}


def workflow(client: ExampleClient, **members: Any) -> str:
    """Submit a workflow and return its id."""
    response = client.system.client.post("/workflows", json=body(**members)).raise_for_status()
    return str(response.json()["workflow_id"])


def submit_twice(client: ExampleClient, operation: Operation, *bodies: Any) -> httpx.Response:
    """Submit workflows with one idempotency key; return the last response."""
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    return [client.send(operation, json=sent, headers=headers) for sent in bodies][-1]


def request_workflow_at_rest(client: ExampleClient, operation: Operation) -> httpx.Response:
    workflow_id = workflow(client)
    response: httpx.Response = until(
        "it is at rest",
        lambda: found if (found := client.send(operation, workflow_id)).json()["status"] == "SUCCEEDED" else None,
    )
    return response


def request_unchanged_workflow(client: ExampleClient, operation: Operation) -> httpx.Response:
    body_ = client.system.client.post("/workflows", json={"jobs": [LATER]}).json()
    workflow_id = str(body_["workflow_id"])
    etag = client.send(operation, workflow_id).headers["etag"]
    return client.send(operation, workflow_id, headers={"If-None-Match": etag})


def retry_failed_workflow(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Retry a workflow of which a job was cancelled, and that is held by another."""
    workflow_id = workflow(client, delay_seconds=1_000)
    jobs = client.system.client.get(f"/workflows/{workflow_id}/jobs").json()["jobs"]
    for job in jobs:
        client.system.client.post(f"/jobs/{job['job_id']}/cancel").raise_for_status()
    until(
        "it is at rest",
        lambda: client.system.client.get(f"/workflows/{workflow_id}").json()["status"] != "RUNNING",
    )
    return client.send(operation, workflow_id)


def list_workflows(client: ExampleClient, operation: Operation) -> httpx.Response:
    for _ in range(2):
        workflow(client, delay_seconds=1_000)
    return client.send(operation, params={"limit": 1, "status": "RUNNING"})


#: By the name of an example, or by path and name, as in `example_client.PROVOKED`.
PROVOKED: dict[str | tuple[str, str], Provoke] = {
    # successes
    "workflow stored": lambda client, operation: client.send(operation, json=body()),
    "workflow repeated": lambda client, operation: submit_twice(client, operation, body(), body()),
    "workflows": list_workflows,
    "workflow in progress": lambda client, operation: client.send(operation, workflow(client, delay_seconds=1_000)),
    "workflow at rest": request_workflow_at_rest,
    "jobs of a workflow": lambda client, operation: client.send(
        operation, workflow(client, delay_seconds=1_000), params={"limit": 2}
    ),
    "workflow cancelled": lambda client, operation: client.send(operation, workflow(client, delay_seconds=1_000)),
    "workflow retried": retry_failed_workflow,
    ("/workflows/{workflow_id}", ""): request_unchanged_workflow,
    # problems
    "workflow-not-found": lambda client, operation: client.send(operation, str(uuid.uuid4())),
    "workflow-running": lambda client, operation: client.send(operation, workflow(client, delay_seconds=1_000)),
    ("/workflows", "invalid-body"): lambda client, operation: client.send(operation, json=body(data=[1, 2, 3, "x"])),
    ("/workflows", "unknown-operation"): lambda client, operation: client.send(
        operation, json=body(operation="nothing")
    ),
    ("/workflows", "invalid-idempotency-key"): lambda client, operation: client.send(
        operation, json=body(), headers={"Idempotency-Key": "a b"}
    ),
    ("/workflows", "idempotency-key-reused"): lambda client, operation: submit_twice(
        client, operation, body(), {"jobs": [JOB, LATER]}
    ),
}
