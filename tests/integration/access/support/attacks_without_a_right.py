"""Attacks without a key, with a wrong one, or with a forged token."""

import base64
import hmac
import json

from integration.access.support.scene import LATER, Scene, attack, refused
from rig.keys import bearer, new_key

from common.domain.tenancy.scopes import Scope


@attack
def no_credentials(scene: Scene) -> None:
    refused(scene.get())


@attack
def an_empty_bearer(scene: Scene) -> None:
    refused(scene.get(Authorization="Bearer"))


@attack
def basic_authentication_with_the_key(scene: Scene) -> None:
    text = base64.b64encode(f"{scene.token}:".encode()).decode()
    refused(scene.get(Authorization=f"Basic {text}"))


@attack
def a_guessed_key(scene: Scene) -> None:
    refused(scene.get(**bearer(f"jp_{'A' * 12}_{'B' * 43}")))


@attack
def the_secret_of_another_key(scene: Scene) -> None:
    secret = scene.token.rpartition("_")[2]
    refused(scene.get(**bearer(f"jp_{scene.key_id}_{secret}")))


@attack
def the_stored_digest_as_secret(scene: Scene) -> None:
    digest = scene.system.database.value("SELECT encode(digest, 'hex') FROM api_keys WHERE id = %s", [scene.key_id])
    for text in (digest, digest[:43]):
        refused(scene.get(**bearer(f"jp_{scene.key_id}_{text}")))


@attack
def the_secret_in_another_case(scene: Scene) -> None:
    refused(scene.get(**bearer(scene.token[:16] + scene.token[16:].swapcase())))


@attack
def a_beginning_of_the_secret(scene: Scene) -> None:
    refused(scene.get(**bearer(scene.token[:-1])))


@attack
def more_than_the_secret(scene: Scene) -> None:
    refused(scene.get(**bearer(scene.token + "A")))


@attack
def the_key_in_the_query(scene: Scene) -> None:
    for name in ("api_key", "access_token", "key", "authorization"):
        refused(scene.get(f"/jobs/?{name}={scene.token}"))


@attack
def the_key_in_a_cookie(scene: Scene) -> None:
    refused(scene.get(Cookie=f"session={scene.token}; authorization={scene.token}"))


@attack
def the_key_in_the_cookie_of_a_session(scene: Scene) -> None:
    secret = scene.token.rpartition("_")[2]
    for value in (scene.token, secret, f"{scene.key_id}.{secret}", f"Bearer {scene.token}"):
        for name in ("jobproc_session", "__Host-jobproc_session"):
            refused(scene.get(Cookie=f"{name}={value}", Sec_Fetch_Site="same-origin"))


@attack
def the_stored_digest_as_the_cookie_of_a_session(scene: Scene) -> None:
    begun = scene.system.client.post("/console/session", headers=bearer(scene.token))
    assert begun.status_code == 201
    scene.system.client.cookies.clear()
    digest = scene.system.database.value(
        "SELECT encode(digest, 'hex') FROM console_sessions ORDER BY created_at DESC LIMIT 1"
    )
    for value in (digest, digest[:43], begun.json()["session"]["expires_at"]):
        refused(scene.get(Cookie=f"jobproc_session={value}", Sec_Fetch_Site="same-origin"))


@attack
def the_key_in_the_body(scene: Scene) -> None:
    refused(scene.system.client.post("/jobs/", json=LATER | {"api_key": scene.token}))


@attack
def two_authorization_headers(scene: Scene) -> None:
    headers = [("Authorization", f"Bearer {scene.token}"), ("Authorization", f"Bearer {scene.key()}")]
    refused(scene.system.client.get("/jobs/", headers=headers))


@attack
def two_keys_in_one_header(scene: Scene) -> None:
    refused(scene.get(Authorization=f"Bearer {scene.token}, Bearer {scene.key()}"))


@attack
def a_header_of_many_kilobytes(scene: Scene) -> None:
    refused(scene.get(**bearer(scene.token + "A" * 20_000)), 401, 431)


@attack
def a_header_with_control_characters(scene: Scene) -> None:
    for byte in (b"\0", b"\x0b", b"\r"):
        answer = scene.raw(
            b"GET /jobs/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + byte + scene.token.encode() + b"\r\n\r\n"
        )
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 ")), answer


@attack
def sql_in_the_id_of_a_key(scene: Scene) -> None:
    for text in ("' OR 1=1--", "%' OR '1'='1", "'; DROP TABLE api_keys; --"):
        refused(scene.get(**bearer(f"jp_{text}_{'B' * 43}")))
    assert scene.system.database.value("SELECT count(*) FROM api_keys") > 0


@attack
def an_expired_key(scene: Scene) -> None:
    refused(scene.get(**bearer(scene.key(expires_at="2026-01-01"))))


@attack
def a_revoked_key(scene: Scene) -> None:
    refused(scene.get(**bearer(scene.key(revoked_at="2026-01-01"))))


@attack
def a_key_of_a_tenant_that_does_not_exist(scene: Scene) -> None:
    refused(scene.get(**bearer(new_key(scene.system.database, tenant=999_999))))


def token(header: dict[str, object], claims: dict[str, object], signature: bytes = b"") -> str:
    """Return a JWT with any signature."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


CLAIMS: dict[str, object] = {"sub": "root", "scope": " ".join(Scope), "tenant": "default", "exp": 4_000_000_000}


@attack
def a_token_without_a_signature(scene: Scene) -> None:
    for name in ("none", "None", "NONE", "nOnE", ""):
        refused(scene.get(**bearer(token({"alg": name, "typ": "JWT"}, CLAIMS))))


@attack
def a_token_signed_with_a_guessed_secret(scene: Scene) -> None:
    header, _, _ = token({"alg": "HS256"}, CLAIMS).rpartition(".")
    for secret in (b"", b"secret", scene.key_id.encode(), b"jobproc"):
        refused(scene.get(**bearer(token({"alg": "HS256"}, CLAIMS, hmac.digest(secret, header.encode(), "sha256")))))


@attack
def a_token_that_brings_its_own_key(scene: Scene) -> None:
    for member in (
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1/c"},
        {"jwk": {"kty": "oct", "k": ""}},
    ):
        refused(scene.get(**bearer(token({"alg": "RS256", "kid": "1", **member}, CLAIMS, b"x" * 256))))
