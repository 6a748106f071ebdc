"""Requests that make the API send each documented example of a response about schedules."""

import uuid
from typing import Any

import httpx
from integration.api.support.documented_examples import Operation, body_examples
from integration.api.support.example_client import ExampleClient, Provoke

CREATE: Operation = ("post", "/schedules")
MAX_SCHEDULES = 1_000  # the default of the settings
SCHEDULES = """INSERT INTO schedules (id, name, cron, zone, overlap, catch_up, catch_up_within_s, catch_up_max_runs,
        jitter_s, job) SELECT gen_random_uuid(), 'one-of-many-' || n, '@daily', 'UTC', 'allow', 'last', 1, 1, 0, '{}'
    FROM generate_series(1, %s) n"""


def body(**members: Any) -> dict[str, Any]:
    """Return the documented schedule with a name of its own."""
    return {**body_examples(CREATE)[0], "name": f"s-{uuid.uuid4()}", **members}


def with_fire(client: ExampleClient) -> str:
    """Create a schedule that has fired once; return its id."""
    schedule_id = client.schedule()
    client.system.client.post(f"/schedules/{schedule_id}/run").raise_for_status()
    client.edit(schedule_id, "UPDATE schedule_fires SET reason = NULL WHERE schedule = %s")
    return schedule_id


def request_one_more(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Create a schedule where there are as many as there may be."""
    client.system.database.rows(SCHEDULES, (MAX_SCHEDULES,))
    try:
        return client.send(operation, json=body())
    finally:
        client.system.database.rows("DELETE FROM schedules WHERE name LIKE 'one-of-many-%'")


def send(client: ExampleClient, operation: Operation, schedule_id: str, **members: Any) -> httpx.Response:
    """Send a request with the documented body, or with other members."""
    documented = next(iter(body_examples(operation)), None)
    return client.send(operation, schedule_id, json=members or documented)


def taken_name(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Create a schedule, or rename one, with the name of another."""
    name = f"s-{uuid.uuid4()}"
    client.system.client.post("/schedules", json=body(name=name)).raise_for_status()
    return client.send(operation, client.row_for(operation), json=body(name=name))


def managed(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Send a request about a schedule that a file declares."""
    return send(client, operation, client.edit(client.schedule(), "UPDATE schedules SET managed = true WHERE id = %s"))


#: By the name of an example, or by path and name, as in `example_client.PROVOKED`.
PROVOKED: dict[str | tuple[str, str], Provoke] = {
    # successes
    "schedule created": lambda client, operation: client.send(operation, json=body()),
    "schedules": lambda client, operation: client.send(
        operation, client.schedule() and client.schedule(), params={"limit": 1}
    ),
    "schedule": lambda client, operation: client.send(operation, with_fire(client)),
    "schedule changed": lambda client, operation: send(client, operation, with_fire(client), overlap="queue"),
    **dict.fromkeys(
        ("schedule paused", "schedule resumed", "schedule run"),
        lambda client, operation: client.send(operation, with_fire(client)),
    ),
    "fires": lambda client, operation: client.send(operation, with_fire(client), params={"limit": 1}),
    ("/schedules/{schedule_id}", ""): lambda client, operation: client.send(operation, client.schedule()),
    # problems
    **{
        (path, "invalid-body"): lambda client, operation: client.send(
            operation, client.row_for(operation), json=body(cron="x")
        )
        for path in ("/schedules", "/schedules/{schedule_id}")
    },
    **{
        (path, "unknown-operation"): lambda client, operation: client.send(
            operation, client.row_for(operation), json=body(job={"operation": "nothing"})
        )
        for path in ("/schedules", "/schedules/{schedule_id}")
    },
    ("/schedules/{schedule_id}/run", "unknown-operation"): lambda client, operation: client.send(
        operation,
        client.edit(client.schedule(), """UPDATE schedules SET job = '{"operation": "nothing"}' WHERE id = %s"""),
    ),
    "schedule-not-found": lambda client, operation: send(client, operation, str(uuid.uuid4())),
    "schedule-exists": taken_name,
    "schedule-managed": managed,
    "too-many-schedules": request_one_more,
    "precondition-failed": lambda client, operation: client.send(
        operation,
        client.schedule(),
        json=next(iter(body_examples(operation)), None),
        headers={"If-Match": 'W/"99"'},
    ),
}
