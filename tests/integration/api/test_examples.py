"""Every example of the OpenAPI document: the API accepts the requests and sends the responses that it shows."""

from collections.abc import Callable
from typing import Any

import pytest
from integration.api.support import (
    batch_examples,
    example_client,
    queue_examples,
    schedule_examples,
    tenancy_examples,
    webhook_examples,
    workflow_examples,
)
from integration.api.support.documented_examples import (
    OPERATIONS,
    ROOT,
    SERVER_MADE,
    WITHOUT_BODY,
    body_examples,
    differences,
    documented_requests,
    documented_responses,
    parameter_examples,
    response_examples,
    valid_body,
)
from integration.api.support.example_client import ExampleClient
from rig.system import System

PROVOKED = example_client.PROVOKED | batch_examples.PROVOKED | tenancy_examples.PROVOKED | schedule_examples.PROVOKED
PROVOKED |= queue_examples.PROVOKED | workflow_examples.PROVOKED | webhook_examples.PROVOKED
#: Problems that a healthy system without authentication never sends, and the tests that provoke them.
ELSEWHERE = {
    "internal": "tests/integration/api/test_http_conventions.py",
    "store-unavailable": "tests/integration/api/test_database_outage.py",
    "overloaded": "tests/integration/api/test_group_commit.py",
    "too-many-reads": "tests/integration/api/test_lanes.py",
    "read-timeout": "tests/integration/api/test_lanes.py",
    "too-many-waiting": "tests/integration/api/test_long_poll.py",
    "not-ready": "tests/integration/api/test_health.py",
    "body-timeout": "tests/integration/api/test_large_and_slow_bodies.py",
    "too-many-previews": "tests/integration/api/test_bulk_action_requests.py",
    "queue-late": "tests/integration/submission_options/test_backpressure.py",
    "rate-limited": "tests/integration/access/test_rate_limits.py",
    "quota-exceeded": "tests/integration/access/test_quotas.py",
    "quota-too-small": "tests/integration/access/test_quotas.py",
    "unauthenticated": "tests/integration/access/test_api_keys.py",
    "scope-missing": "tests/integration/access/test_scopes.py",
    "queue-change-unconfirmed": "tests/integration/access/test_queues.py",
    "feed-not-switched": "tests/integration/access/test_feed.py",
    "too-many-followed-queues": "tests/integration/store/test_feed.py",
    "tenant-suspended": "tests/integration/access/test_tenant_administration.py",
    "tenant-draining": "tests/integration/access/test_tenant_administration.py",
    "webhooks-off": "tests/integration/webhooks/test_endpoints.py",
    "issuer-unavailable": "tests/integration/openid/test_sign_in.py",
    "key or provider": "tests/integration/sign_in/test_sign_in.py",
    "signed in": "tests/integration/access/test_console_sessions.py",
    "session-needs-key": "tests/integration/access/test_console_sessions.py",
    "session-needs-https": "tests/integration/access/test_session_origins.py",
    "session-not-same-origin": "tests/integration/access/test_session_origins.py",
    "sign-in-off": "tests/integration/access/test_console_sessions.py",
}


def test_every_response_parameter_and_body_has_an_example() -> None:
    without = [
        (operation, status)
        for operation, description in OPERATIONS.items()
        for status in description["responses"]
        if not response_examples(operation, status)
    ]
    assert {status for _, status in without} <= WITHOUT_BODY, without
    parameters = [
        (operation, parameter)
        for operation, description in OPERATIONS.items()
        for parameter in description.get("parameters", [])
    ]
    assert [
        (operation, parameter["name"])
        for operation, parameter in parameters
        if not parameter_examples(parameter) and parameter["name"] not in SERVER_MADE
    ] == []
    assert [
        operation
        for operation, description in OPERATIONS.items()
        if "requestBody" in description and not body_examples(operation)
    ] == []


def test_problems_that_a_healthy_system_never_sends_are_provoked_by_other_tests() -> None:
    for kind, path in ELSEWHERE.items():
        assert (ROOT / path).exists(), kind
    assert set(ELSEWHERE) <= {name for _, _, name, _ in documented_responses()}, "no other example is left out"


@pytest.fixture
def client(shared: System, wire: Callable[[System], Any]) -> ExampleClient:
    """Return a client of the shared system, in which two jobs have failed."""
    client = ExampleClient(shared, wire)
    for _ in range(2):
        client.job("FAILED", operation="fail_for_good", tags=["nightly"])
    return client


def test_each_documented_request_is_accepted(client: ExampleClient) -> None:
    errors = []
    for operation, request in documented_requests():
        client.system.database.rows("DELETE FROM idempotency_keys")  # several requests show the same key
        response = client.send(operation, client.row_for(operation), **request)
        valid_body(operation, response)
        if response.status_code >= 300:
            errors.append((operation, request, response.text))
    assert errors == []


def test_each_documented_response_is_sent(client: ExampleClient) -> None:
    """With the documented status and members, and valid by its schema."""
    errors = []
    for operation, status, name, example in documented_responses():
        if name in ELSEWHERE:
            continue
        provoke = PROVOKED.get((operation[1], name)) or PROVOKED[name]
        response = provoke(client, operation)
        if str(response.status_code) != status:
            errors.append(f"{operation} {name}: {response.status_code} {response.text[:500]}")
            continue
        body = valid_body(operation, response)
        errors += [
            f"{operation} {name}{difference}"
            for difference in differences(_without_extensions(example), _without_extensions(body))
        ]
    assert errors == []


def _without_extensions(body: Any) -> Any:
    """Return a problem without its extension members (RFC 9457); any other body unchanged."""
    return (
        {name: body[name] for name in ("type", "title", "status", "detail")}
        if isinstance(body, dict) and "title" in body
        else body
    )
