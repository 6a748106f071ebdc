"""The public keys of an OpenID provider, as its JWKS document has them (RFC 7517)."""

from collections.abc import Collection
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from common.settings.access.oidc import ALGORITHMS

MAX_KEYS = 100
MIN_RSA_BITS, MAX_RSA_BITS = 2_048, 8_192
_RSA = frozenset(name for name in ALGORITHMS if name.startswith(("RS", "PS")))
_OF_CURVE = {"P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"}}


class KeySet:
    """Keys by `kid` and algorithm. What cannot sign a token is left out."""

    def __init__(self, document: dict[str, Any], algorithms: Collection[str]) -> None:
        """Read a JWKS document. Raises ValueError if no key of it signs by one of these algorithms."""
        members = document.get("keys")
        if not isinstance(members, list) or len(members) > MAX_KEYS:
            raise ValueError(f"no list of at most {MAX_KEYS} keys")
        self._keys: dict[tuple[str, str], PyJWK] = {}
        for member in members:
            for algorithm in _algorithms(member) & set(algorithms):
                key = _usable(member, algorithm)
                if key is not None:
                    self._keys[member["kid"], algorithm] = key
        self.ids = frozenset(key_id for key_id, _ in self._keys)
        self.unused = len(members) - len(self.ids)
        if not self._keys:
            raise ValueError("no usable key")

    def find(self, key_id: str, algorithm: str) -> PyJWK | None:
        """Return the key with an id that signs by an algorithm; None: there is none."""
        return self._keys.get((key_id, algorithm))


def _algorithms(member: Any) -> set[str]:
    """Return the algorithms by which a key may sign: its own, or those of its type."""
    if not isinstance(member, dict) or not isinstance(member.get("kid"), str):
        return set()
    may_verify = "verify" in member["key_ops"] if isinstance(member.get("key_ops"), list) else True
    if member.get("use", "sig") != "sig" or not may_verify or "d" in member:
        return set()
    match member.get("kty"), member.get("crv"):
        case "RSA", _:
            possible = set(_RSA)
        case "EC", str(curve):
            possible = _OF_CURVE.get(curve, set())
        case "OKP", "Ed25519" | "Ed448":
            possible = {"EdDSA"}
        case _:
            possible = set()
    own = member.get("alg")
    return possible if own is None else possible & {own} if isinstance(own, str) else set()


def _usable(member: dict[str, Any], algorithm: str) -> PyJWK | None:
    try:
        key = PyJWK(member, algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key.key, RSAPublicKey) and not MIN_RSA_BITS <= key.key.key_size <= MAX_RSA_BITS:
        return None
    return key
