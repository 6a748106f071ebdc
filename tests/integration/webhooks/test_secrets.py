"""Secrets of endpoints: rotation with an overlap, and where they are not."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from rig.system import System, until
from rig.webhook_receiver import WebhookReceiver
from rig.webhook_signature import verified
from standardwebhooks import Webhook, WebhookVerificationError

Create = Callable[..., dict[str, Any]]


def test_messages_are_signed_with_both_secrets_until_the_overlap_is_over(
    webhooks: System, receiver: WebhookReceiver, create: Create
) -> None:
    endpoint = create(receiver.url())
    response = webhooks.client.post(endpoint["links"]["rotate"], json={"overlap_seconds": 3_600})
    assert response.status_code == 200, response.text
    rotated = response.json()
    assert rotated["secret"] != endpoint["secret"]
    assert [secret["expires_at"] is None for secret in rotated["secrets"]] == [True, False]
    webhooks.client.post(endpoint["links"]["test"]).raise_for_status()
    until("the event", lambda: receiver.received)
    for secret in (endpoint["secret"], rotated["secret"]):
        assert Webhook(secret).verify(receiver.received[0].body, receiver.received[0].headers)
        assert verified(receiver.received[0], secret)["type"] == "webhook.test"
    again = webhooks.client.post(endpoint["links"]["rotate"], json={"overlap_seconds": 0}).json()
    time.sleep(1.1)  # for as long a process knows an endpoint
    webhooks.client.post(endpoint["links"]["test"]).raise_for_status()
    until("the second event", lambda: len(receiver.received) == 2)
    assert Webhook(again["secret"]).verify(receiver.received[1].body, receiver.received[1].headers)
    for secret in (endpoint["secret"], rotated["secret"]):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(receiver.received[1].body, receiver.received[1].headers)


def test_the_secret_is_stored_encrypted_and_shown_once(
    webhooks: System, receiver: WebhookReceiver, create: Create
) -> None:
    endpoint = create(receiver.url())
    webhooks.client.post(endpoint["links"]["test"]).raise_for_status()
    until("the event", lambda: receiver.received)
    secret = endpoint["secret"].removeprefix("whsec_")
    assert "secret" not in webhooks.client.get(endpoint["links"]["self"]).json()
    stored = webhooks.database.rows("SELECT secret FROM webhook_secrets")
    assert secret.encode() not in bytes(stored[0][0])
    everything = webhooks.database.rows("SELECT input::text FROM jobs") + webhooks.database.rows(
        "SELECT details::text FROM audit_entries"
    )
    assert not any(secret in (row[0] or "") for row in everything)
    assert not any(secret in webhooks.log(name) for name in webhooks.processes)
