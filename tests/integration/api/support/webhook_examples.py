"""Requests that make the API send each documented example of a response about webhooks."""

import uuid
from typing import Any

import httpx
from integration.api.support.documented_examples import Operation, body_examples
from integration.api.support.example_client import ExampleClient, Provoke
from rig.system import until

CREATE: Operation = ("post", "/webhooks/endpoints")
MAX_ENDPOINTS = 100  # the default of the settings
ENDPOINTS = """INSERT INTO webhook_endpoints (id, max_attempts, url, description)
    SELECT gen_random_uuid(), 1, 'https://h.example/', 'one-of-many' FROM generate_series(1, %s)"""
FAILING = """UPDATE webhook_endpoints SET failures = 6, failing_since = now(), open_until = now(),
    last_failure_at = now(), last_failure = 'x' WHERE id = %s"""
SUCCESS = "UPDATE webhook_endpoints SET last_success_at = now() WHERE id = %s"


def rotated(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Rotate the secret of an endpoint."""
    return client.send(operation, client.edit(client.endpoint(), SUCCESS), json={"overlap_seconds": 3_600})


def delivery_of(client: ExampleClient, endpoint_id: str) -> str:
    """Wait for a delivery to an endpoint; return its id."""
    path = f"/webhooks/deliveries?endpoint_id={endpoint_id}"
    found = until("a delivery", lambda: client.system.client.get(path).raise_for_status().json()["deliveries"])
    return str(found[0]["job_id"])


def delivered(client: ExampleClient) -> str:
    """Return an endpoint that has been told of a job that has failed, as if the message had come."""
    endpoint_id = client.endpoint(url="https://hooks.example.com/jobs", events=["job.failed"])
    client.job("FAILED", operation="fail_for_good", tags=["nightly"], webhook={"endpoint_id": endpoint_id})
    delivery = delivery_of(client, endpoint_id)
    client.edit(
        delivery,
        "DELETE FROM live WHERE id = %s",
        """INSERT INTO outcomes (id, run, attempt, released, rev, status, result, started_at)
           VALUES (%s, 0, 1, 0, 1, 'SUCCESS', '{}', now())""",
    )
    return endpoint_id


def request_one_more(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Create an endpoint where there are as many as there may be."""
    client.system.database.rows(ENDPOINTS, (MAX_ENDPOINTS,))
    try:
        return client.send(operation, json=body_examples(CREATE)[0])
    finally:
        client.system.database.rows("DELETE FROM webhook_endpoints WHERE description = 'one-of-many'")


def send(client: ExampleClient, operation: Operation, endpoint_id: str, **request: Any) -> httpx.Response:
    """Send a request with the documented body."""
    return client.send(operation, endpoint_id, json=next(iter(body_examples(operation)), None), **request)


#: By the name of an example, or by path and name, as in `example_client.PROVOKED`.
PROVOKED: dict[str | tuple[str, str], Provoke] = {
    # successes
    "endpoint created": lambda client, operation: client.send(operation, json=body_examples(operation)[0]),
    "endpoints": lambda client, operation: client.send(
        operation, client.edit(client.endpoint(), SUCCESS) and client.endpoint(), params={"limit": 1}
    ),
    "endpoint": lambda client, operation: client.send(operation, client.edit(client.endpoint(), SUCCESS)),
    "failing": lambda client, operation: client.send(operation, client.edit(client.endpoint(), SUCCESS, FAILING)),
    "endpoint changed": lambda client, operation: client.send(
        operation, client.edit(client.endpoint(), SUCCESS), json={"events": None}
    ),
    "secret rotated": rotated,
    "test sent": lambda client, operation: client.send(operation, client.endpoint()),
    "deliveries": lambda client, operation: client.send(operation, params={"endpoint_id": delivered(client)}),
    "redelivered": lambda client, operation: client.send(operation, delivery_of(client, delivered(client))),
    ("/webhooks/endpoints/{endpoint_id}", ""): lambda client, operation: client.send(operation, client.endpoint()),
    # problems
    **{
        (path, "invalid-body"): lambda client, operation: client.send(
            operation, client.row_for(operation), json={"url": "http://h.example/"}
        )
        for path in ("/webhooks/endpoints", "/webhooks/endpoints/{endpoint_id}")
    },
    ("/webhooks/endpoints/{endpoint_id}/rotate", "invalid-body"): lambda client, operation: client.send(
        operation, client.endpoint(), json={"overlap_seconds": -1}
    ),
    "webhook-endpoint-not-found": lambda client, operation: send(client, operation, str(uuid.uuid4())),
    "webhook-delivery-not-found": lambda client, operation: client.send(operation, str(uuid.uuid4())),
    "webhook-endpoint-disabled": lambda client, operation: client.send(operation, client.endpoint(disabled=True)),
    "too-many-webhook-endpoints": request_one_more,
    ("/webhooks/endpoints/{endpoint_id}", "precondition-failed"): lambda client, operation: send(
        client, operation, client.endpoint(), headers={"If-Match": 'W/"99"'}
    ),
}
