"""Signatures of Standard Webhooks, verified by the standard's own library."""

import json
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from common.domain.webhooks import signature

OLD, NEW = signature.secret_text(b"o" * 32), signature.secret_text(b"n" * 32)
BODY = json.dumps({"type": "job.succeeded", "timestamp": "2026-11-30T18:00:00.000000Z", "data": {"a": "ü"}}).encode()


def test_the_receiver_of_the_standard_accepts_each_secret_of_a_rotation() -> None:
    headers = signature.headers([NEW, OLD], "msg_1", int(time.time()), BODY)
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(BODY, headers)["type"] == "job.succeeded"


@pytest.mark.parametrize("change", ["id", "time", "body", "secret"])
def test_it_refuses_what_was_changed(change: str) -> None:
    now = int(time.time())
    headers = signature.headers([NEW], "msg_1", now, BODY)
    secret, body = NEW, BODY
    match change:
        case "id":
            headers["webhook-id"] = "msg_2"
        case "time":
            headers["webhook-timestamp"] = str(now - 400)
        case "body":
            body += b" "
        case "secret":
            secret = OLD
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_a_secret_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="whsec_"):
        signature.headers(["whsec_!"], "msg_1", 0, b"")
