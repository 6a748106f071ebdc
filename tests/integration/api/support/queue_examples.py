"""Requests that make the API send each documented example of a response about queues."""

from integration.api.support.example_client import Provoke

#: By the name of an example, or by path and name, as in `example_client.PROVOKED`.
PROVOKED: dict[str | tuple[str, str], Provoke] = {
    "queues": lambda client, operation: client.send(operation, params={"limit": 1}),
    **dict.fromkeys(
        ("queue", "queue paused", "queue resumed"), lambda client, operation: client.send(operation, client.queue())
    ),
    **{
        (f"/queues/{{queue_name}}{verb}", "invalid-parameter"): lambda client, operation: client.send(
            operation, client.queue(), params={"all_tenants": "x"}
        )
        for verb in ("", "/pause", "/resume")
    },
    "queue-not-found": lambda client, operation: client.send(operation, "nowhere"),
}
