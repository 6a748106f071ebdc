"""Requests that make the API send each documented example of a response about queues."""

from typing import Any

import httpx
from integration.api.support.documented_examples import Operation, body_examples
from integration.api.support.example_client import ExampleClient, Provoke

PATH = "/queues/{queue_name}"


def request_change(client: ExampleClient, operation: Operation, **parameters: Any) -> httpx.Response:
    """Follow the queue, and ask for the change that a new job is."""
    system = client.system.client
    system.patch("/queues/default", json={"events": True}).raise_for_status()
    after = system.get("/events?after=latest").json()["after"]
    client.job()
    return client.send(operation, params={"after": after, **parameters})


def follow_change(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Read a stream until its first event, and return what was read."""
    number = request_change(client, operation).json()["after"] - 1
    with client.system.client.stream("GET", "/events", params={"after": number, "follow": True}) as stream:
        text = ""
        for part in stream.iter_text():
            text += part
            if "data: " in text:
                break
        return httpx.Response(stream.status_code, headers={"content-type": stream.headers["content-type"]}, text=text)


def managed(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Send a request about a queue whose limits a file declares."""
    queue = client.edit(client.queue(), "UPDATE queue_policies SET managed = true WHERE queue = %s")
    return client.send(operation, queue, json={"concurrency": 4})


#: By the name of an example, or by path and name, as in `example_client.PROVOKED`.
PROVOKED: dict[str | tuple[str, str], Provoke] = {
    "queues": lambda client, operation: client.send(operation, params={"limit": 1}),
    **dict.fromkeys(
        ("queue", "queue paused", "queue resumed"), lambda client, operation: client.send(operation, client.queue())
    ),
    "queue changed": lambda client, operation: client.send(operation, client.queue(), json=body_examples(operation)[0]),
    (PATH, "invalid-body"): lambda client, operation: client.send(operation, client.queue(), json={"concurrency": 0}),
    (PATH, "queue-not-found"): lambda client, operation: client.send(operation, "nowhere", json={}),
    (PATH, "precondition-failed"): lambda client, operation: client.send(
        operation, client.queue(), json={}, headers={"If-Match": 'W/"99"'}
    ),
    (PATH, "invalid-parameter"): lambda client, operation: client.send(
        operation, client.queue(), json={}, params={"all_tenants": "x"}
    ),
    **{
        (f"/queues/{{queue_name}}{verb}", "invalid-parameter"): lambda client, operation: client.send(
            operation, client.queue(), params={"all_tenants": "x"}
        )
        for verb in ("/pause", "/resume")
    },
    "changes": lambda client, operation: request_change(client, operation, limit=1),
    ("/events", "follow"): follow_change,
    "feed-expired": lambda client, operation: client.send(operation, params={"after": 2**62}),
    ("/events", "invalid-parameter"): lambda client, operation: client.send(operation, params={"after": "x"}),
    "queue-managed": managed,
    "queue-not-found": lambda client, operation: client.send(operation, "nowhere"),
}
