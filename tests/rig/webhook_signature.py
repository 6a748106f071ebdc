"""The check of a message by its receiver, written from the standard and not from the code under test."""

import base64
import hashlib
import hmac
import time
from typing import Any

from rig.webhook_receiver import Received

TOLERANCE_S = 300


def verified(request: Received, secret: str) -> dict[str, Any]:
    """Return the event of a message. Raises AssertionError if its signature is not of the secret, or it is old."""
    message_id, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    assert abs(time.time() - int(timestamp)) < TOLERANCE_S
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + request.body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert expected in request.headers["webhook-signature"].split(" ")
    return request.event
