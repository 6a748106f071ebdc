"""Requests that make the API send each documented example of a response about batches."""

import uuid
from typing import Any

import httpx
from integration.api.support.documented_examples import Operation
from integration.api.support.example_client import JOB, LATER, ExampleClient, Provoke
from rig.system import until

NDJSON = {"Content-Type": "application/x-ndjson"}
LINES = b'{"data":[1],"operation":"square_sum"}\n{"operation":"square_sum"}\n{"data":[1],"operation":"square_sum"}\n'


def batch(client: ExampleClient, *jobs: dict[str, Any], closed: bool = True) -> str:
    """Create a batch with these jobs and a follow-up; return its id."""
    batch_id = str(client.system.client.post("/batches", json={"follow_up": JOB}).raise_for_status().json()["batch_id"])
    if jobs:
        client.system.client.post(f"/batches/{batch_id}/jobs", json=jobs).raise_for_status()
    if closed:
        client.system.client.post(f"/batches/{batch_id}/close").raise_for_status()
    return batch_id


def request_ended_batch(client: ExampleClient, operation: Operation) -> httpx.Response:
    batch_id = batch(client, JOB)
    response: httpx.Response = until(
        "the batch has ended",
        lambda: found if (found := client.send(operation, batch_id)).json()["status"] == "ENDED" else None,
    )
    return response


def add_twice(client: ExampleClient, operation: Operation, *bodies: Any) -> httpx.Response:
    """Add jobs to a batch twice with one idempotency key; return the second response."""
    headers, batch_id = {"Idempotency-Key": uuid.uuid4().hex}, batch(client, closed=False)
    responses = [client.send(operation, batch_id, json=body, headers=headers) for body in bodies]
    return responses[-1]


def add_to_full_batch(client: ExampleClient, operation: Operation) -> httpx.Response:
    batch_id = client.edit(batch(client, closed=False), "UPDATE batches SET numbers = 1000000 WHERE id = %s")
    return client.send(operation, batch_id, json=[JOB])


def add(client: ExampleClient, operation: Operation, *jobs: Any, **request: Any) -> httpx.Response:
    return client.send(operation, batch(client, closed=False), json=list(jobs), **request)


def request_unchanged_batch(client: ExampleClient, operation: Operation) -> httpx.Response:
    batch_id = batch(client, LATER)
    return client.send(operation, batch_id, headers={"If-None-Match": client.send(operation, batch_id).headers["etag"]})


def request_ended_stream(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Request the stream of a batch after its last event."""
    batch_id = batch(client)
    last_event_id = client.send(operation, batch_id).text.rpartition("id: ")[2].partition("\n")[0]
    return client.send(operation, batch_id, headers={"Last-Event-ID": last_event_id})


_ADD, _READ, _EVENTS = "/batches/{batch_id}/jobs", "/batches/{batch_id}", "/batches/{batch_id}/events"
#: By the name of an example, or by path and name, as in `example_client.PROVOKED`.
PROVOKED: dict[str | tuple[str, str], Provoke] = {
    # successes
    "batch created": lambda client, operation: client.send(operation, json={"follow_up": JOB}),
    "batches": lambda client, operation: (
        client.send(operation, params={"limit": 1, "status": "OPEN"})
        if batch(client, closed=False) and batch(client, closed=False)
        else client.send(operation)
    ),
    "batch in progress": lambda client, operation: client.send(operation, batch(client, LATER)),
    "batch ended": request_ended_batch,
    "batch closed": lambda client, operation: client.send(operation, batch(client, LATER, closed=False)),
    "batch cancelled": lambda client, operation: client.send(operation, batch(client, LATER)),
    (_ADD, "stored"): lambda client, operation: add(client, operation, JOB),
    (_ADD, "repeated request"): lambda client, operation: add_twice(client, operation, [LATER], [LATER]),
    "lines stored": lambda client, operation: client.send(
        operation, batch(client, closed=False), content=LINES, headers=NDJSON, params={"atomic": "false"}
    ),
    (_READ, ""): request_unchanged_batch,
    "running batch": lambda client, operation: client.send(operation, batch(client, JOB)),
    (_EVENTS, ""): request_ended_stream,
    # problems
    "batch-not-found": lambda client, operation: client.send(
        operation, str(uuid.uuid4()), json=[JOB] if operation[1] == _ADD else None
    ),
    "batch-closed": lambda client, operation: client.send(operation, batch(client), json=[JOB]),
    "batch-full": add_to_full_batch,
    (_ADD, "invalid-body"): lambda client, operation: add(client, operation, JOB | {"data": [1, 2, 3, "x"]}),
    ("/batches", "invalid-body"): lambda client, operation: client.send(operation, json={"nothing": 1}),
    ("/batches", "unknown-operation"): lambda client, operation: client.send(
        operation, json={"follow_up": JOB | {"operation": "nothing"}}
    ),
    (_ADD, "unknown-operation"): lambda client, operation: add(client, operation, JOB | {"operation": "nothing"}),
    (_ADD, "invalid-idempotency-key"): lambda client, operation: add(
        client, operation, JOB, headers={"Idempotency-Key": "a b"}
    ),
    (_ADD, "idempotency-key-reused"): lambda client, operation: add_twice(client, operation, [JOB], [LATER]),
    (_ADD, "unique-conflict"): lambda client, operation: add(
        client, operation, LATER | {"unique": {"key": client.held_key()}}
    ),
    ("/jobs/batch", "invalid-parameter"): lambda client, operation: client.send(
        operation, content=LINES, headers=NDJSON, params={"atomic": "x"}
    ),
}
