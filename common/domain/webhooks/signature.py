"""Secrets and signatures of Standard Webhooks, version 1 (standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 - the standard's own
SECRET_BYTES = 32  #: the standard asks for 24 to 64


def secret_text(random_bytes: bytes) -> str:
    """Return a secret as its receiver is told it."""
    return SECRET_PREFIX + base64.b64encode(random_bytes).decode()


def headers(secrets: Sequence[str], message_id: str, unix_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message, with a signature for each secret: a receiver accepts any of them."""
    signed = b"%s.%d." % (message_id.encode(), unix_s) + body
    signatures = [
        "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode() for secret in secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(unix_s),
        "webhook-signature": " ".join(signatures),
    }


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("the secret is not whsec_ and base64") from error
