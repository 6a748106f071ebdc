"""An OpenID provider of a test, without sign-in: its documents over HTTP, and tokens as a test forges them."""

import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

DISCOVERY, JWKS = "/.well-known/openid-configuration", "/jwks"
AUDIENCE = "jobproc"
_FORMS: dict[str, Callable[..., dict[str, Any]]] = {
    "RS": RSAAlgorithm.to_jwk, "PS": RSAAlgorithm.to_jwk, "ES": ECAlgorithm.to_jwk, "Ed": OKPAlgorithm.to_jwk,
}  # fmt: skip


class Key:
    """A key that signs tokens."""

    def __init__(self, algorithm: str, key_id: str, bits: int = 2_048, **members: Any) -> None:
        """`members` are of its form in the JWKS document; None: not there."""
        self.algorithm, self.id = algorithm, key_id
        curve = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}.get(algorithm)
        self.private: Any = (
            ed25519.Ed25519PrivateKey.generate()
            if algorithm == "EdDSA"
            else ec.generate_private_key(curve())
            if curve
            else rsa.generate_private_key(65_537, bits)
        )
        form = _FORMS[algorithm[:2]](self.private.public_key(), as_dict=True)
        form = {**form, "kid": key_id, "use": "sig", "alg": algorithm, **members}
        self.public = {name: value for name, value in form.items() if value is not None and name != "key_ops"}

    def token(self, header: object, claims: object) -> str:
        """Return a token with a right signature; both parts may be bytes."""
        signed = f"{part(header)}.{part(claims)}"
        return f"{signed}.{part(get_default_algorithms()[self.algorithm].sign(signed.encode(), self.private))}"


def part(value: object) -> str:
    """Return a part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Serves its keys, until it is closed. `answers` replaces the answers of paths."""

    def __init__(self, *keys: Key, port: int = 0) -> None:
        self.keys = list(keys)
        self.requests: list[str] = []  #: paths, in their order
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                issuer.answers.get(self.path, issuer.answer)(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        documents = {
            DISCOVERY: {"issuer": self.url, "jwks_uri": self.url + JWKS},
            JWKS: {"keys": [key.public for key in self.keys]},
        }
        send(handler, 200 if handler.path in documents else 404, json.dumps(documents.get(handler.path)).encode())

    def claims(self, **others: Any) -> dict[str, Any]:
        """Return the claims of a good token with some changed; None: not there."""
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 60, "tenant": "default",
            "scope": "openid jobs:read", **others,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, key: Key | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token; without arguments a good one."""
        key = key or self.keys[0]
        return key.token({"alg": key.algorithm, "kid": key.id, **(header or {})}, self.claims(**claims))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Answer a request."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
