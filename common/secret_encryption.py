"""Encryption of secrets that are stored, with AES-256-GCM, under a key from the settings.

A stored secret begins with the version and the mark of its key. So a key can be changed: the settings name the new one
first and the old one after it, until nothing is encrypted with that any more.
"""

import hashlib
import os
from collections.abc import Sequence

MIN_KEY_CHARACTERS = 32
_VERSION = b"\x01"
_MARK_BYTES, _NONCE_BYTES = 4, 12
_CONTEXT = b"jobproc stored secrets 1:"


class SecretUnreadable(Exception):
    """A stored secret cannot be decrypted with the keys of the settings."""


def parsed_keys(text: str) -> list[str]:
    """Return the keys that are separated by commas, the newest first. Raises ValueError for a short one."""
    keys = [key.strip() for key in text.split(",") if key.strip()]
    if any(len(key) < MIN_KEY_CHARACTERS for key in keys):
        raise ValueError(f"a key has at least {MIN_KEY_CHARACTERS} characters; `openssl rand -hex 32` makes one")
    return keys


def encrypt(secret: str, keys: Sequence[str], owner: bytes) -> bytes:
    """Return a secret encrypted with the first key. `owner`: whose it is; it is decrypted for the same owner alone."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 10 ms, for the few processes that need it

    key, nonce = _derived(keys[0]), os.urandom(_NONCE_BYTES)
    return _VERSION + _mark(key) + nonce + AESGCM(key).encrypt(nonce, secret.encode(), owner)


def decrypt(stored: bytes, keys: Sequence[str], owner: bytes) -> str:
    """Return a stored secret. Raises SecretUnreadable."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    mark, rest = stored[1 : 1 + _MARK_BYTES], stored[1 + _MARK_BYTES :]
    for key in map(_derived, keys):
        if _mark(key) == mark and stored[:1] == _VERSION:
            try:
                return AESGCM(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], owner).decode()
            except InvalidTag as error:
                raise SecretUnreadable("the stored secret was changed") from error
    raise SecretUnreadable("the settings have no key with which the secret was encrypted")


def _derived(key: str) -> bytes:
    # A key is random, so a hash makes 256 bits of it; there is no password to stretch.
    return hashlib.sha256(_CONTEXT + key.encode()).digest()


def _mark(key: bytes) -> bytes:
    return hashlib.sha256(b"mark:" + key).digest()[:_MARK_BYTES]
