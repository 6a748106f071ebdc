"""Tokens that somebody has forged, altered or taken from elsewhere: each is refused, with a sentence about the rule."""

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rig.issuer import DISCOVERY, JWKS, Issuer, Key, part
from rig.verification import verification

from api.auth.access import InvalidToken
from api.auth.principal import Principal
from common.domain.tenancy.scopes import Scope

RSA, EC, ED = Key("RS256", "rsa"), Key("ES256", "ec"), Key("EdDSA", "ed")
PS = Key("PS256", "ps")
ANY_RSA = Key("RS256", "any", alg=None)
ENCRYPTION = Key("RS256", "encryption", use="enc")
SMALL = Key("RS256", "small", bits=1_024)
PRIVATE = Key("RS256", "private", d="AQAB")
WRAPPING = Key("ES256", "wrapping", use=None)
WRAPPING.public["key_ops"] = ["wrapKey"]
SECRET = Key("ES256", "secret")
SECRET.public = {"kty": "oct", "k": part(b"secret" * 10), "kid": "secret", "alg": "HS256"}
SERVED = (RSA, EC, ED, PS, ANY_RSA, ENCRYPTION, SMALL, PRIVATE, WRAPPING, SECRET)
THIEF, OTHER_CURVE = Key("RS256", "rsa"), Key("ES384", "ec")

NOT_ALLOWED = "The algorithm of the token is not allowed."
FOREIGN = "The token is signed with a key that the issuer does not have."
WRONG = "The signature of the token is wrong."
EXPIRED, NOT_YET = "The token has expired.", "The token is not valid yet."
AUDIENCE_WRONG, ISSUER_WRONG = "The token is for another audience.", "The token is of another issuer."
LACKS = "The token lacks one of the claims exp, iss and aud."
MALFORMED, TYPE = "The token is malformed.", "The token is of another type than an access token."
FORM = "The Authorization header has neither an API key nor a signed token (JWT)."
NO_KEY = "The token names no key (header kid)."
OTHER_ALGORITHM = "The algorithm of the token is not that of its key."


Value = TypeVar("Value")
Case = tuple[str, Callable[[Issuer], str], str]
HEADER = {"alg": "RS256", "kid": "rsa"}


def seconds(name: str) -> str:
    return f"The claim {name} of the token must be a number of seconds."


def given(value: Value, make: Callable[[Issuer, Value], str]) -> Callable[[Issuer], str]:
    """Return what makes the token of one value."""
    return lambda issuer: make(issuer, value)


def unsigned(issuer: Issuer, algorithm: object, signature: str = "AAAA") -> str:
    return f"{part({'alg': algorithm, 'kid': 'rsa'})}.{part(issuer.claims())}.{signature}"


def hmac_with_public_key(issuer: Issuer, form: PublicFormat, algorithm: str) -> str:
    public = RSA.private.public_key().public_bytes(Encoding.PEM, form)
    signed = f"{part({'alg': algorithm, 'kid': 'rsa'})}.{part(issuer.claims())}"
    digest = hashlib.new(algorithm.replace("HS", "sha")).name
    return f"{signed}.{part(hmac.new(public, signed.encode(), digest).digest())}"


def twice(text: str, name: str, value: str) -> bytes:
    """Return JSON with a member more, whose name is there already."""
    return f'{text[:-1]}, "{name}": "{value}"}}'.encode()


def altered(token: str) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(urlsafe_b64decode(body + "=="))
    return f"{head}.{part({**claims, 'scope': 'jobs:write'})}.{signature}"


def forged_algorithms() -> Iterator[Case]:
    texts = ("none", "None", "NONE", "nOnE", "", "HS256", "hs256", "RS256\0", "rs256", "ES256K", "RS384")
    others: list[object] = [None, 7, []]
    for name in (*texts, *others):
        yield f"algorithm {name!r}", given(name, unsigned), NOT_ALLOWED
    yield "no signature", lambda i: unsigned(i, "none", ""), FORM
    yield "RS256 without signature", lambda i: unsigned(i, "RS256", ""), FORM
    for encoding, form in (("PKIX", PublicFormat.SubjectPublicKeyInfo), ("PKCS1", PublicFormat.PKCS1)):
        for algorithm in ("HS256", "HS384", "HS512"):
            yield (
                f"{algorithm} with the public key as {encoding}",
                partial(hmac_with_public_key, form=form, algorithm=algorithm),
                NOT_ALLOWED,
            )
    yield "HS256 with a secret of the JWKS", lambda i: i.token(RSA, {"alg": "HS256", "kid": "secret"}), NOT_ALLOWED


def foreign_keys() -> Iterator[Case]:
    kid: object
    paths = ("../../../dev/null", "/etc/passwd", "http://127.0.0.1/")
    for kid in ("stranger", *paths, "rsa' OR '1'='1", "rsa\0", "", "RSA"):
        yield f"foreign kid {kid!r}", given(kid, lambda i, kid: i.token(THIEF, {"kid": kid})), FOREIGN
    for kid in (None, 1, ["rsa"], {"rsa": 1}):
        yield f"kid {kid!r}", given(kid, lambda i, kid: i.token(RSA, {"kid": kid})), NO_KEY
    for name in ("jku", "x5u"):
        yield name, given(name, lambda i, n: i.token(THIEF, {n: f"{i.url}/thief"})), WRONG
        yield (
            f"{name}, foreign kid",
            given(name, lambda i, n: i.token(THIEF, {n: f"{i.url}/thief", "kid": "t"})),
            FOREIGN,
        )
    yield "embedded jwk", lambda i: i.token(THIEF, {"jwk": THIEF.public}), WRONG
    yield "embedded jwk, foreign kid", lambda i: i.token(THIEF, {"jwk": THIEF.public, "kid": "thief"}), FOREIGN
    yield "embedded x5c", lambda i: i.token(THIEF, {"x5c": ["MIIB"]}), WRONG
    yield "another key of the same kind", lambda i: i.token(THIEF), WRONG
    yield "another key of the issuer", lambda i: RSA.token({"alg": "RS256", "kid": "any"}, i.claims()), WRONG
    yield "altered claims", lambda i: altered(i.token(RSA)), WRONG
    yield "algorithm of another key", lambda i: i.token(RSA, {"kid": "ec"}), OTHER_ALGORITHM
    yield "ES256 for an RSA key", lambda i: i.token(EC, {"kid": "rsa"}), OTHER_ALGORITHM
    yield "RS256 for a PS256 key", lambda i: i.token(RSA, {"kid": "ps"}), OTHER_ALGORITHM
    yield "ES384", lambda i: i.token(OTHER_CURVE), NOT_ALLOWED
    for key in (ENCRYPTION, SMALL, PRIVATE, WRAPPING):
        yield f"key {key.id}", given(key, Issuer.token), FOREIGN


def bad_signatures() -> Iterator[Case]:
    for name, zeros in (
        ("r=s=0", bytes(64)),
        ("empty DER", b"\x30\x00"),
        ("63 bytes", bytes(63)),
        ("long", bytes(4_000)),
    ):
        yield (
            f"ES256 with {name}",
            given(zeros, lambda i, z: f"{part({'alg': 'ES256', 'kid': 'ec'})}.{part(i.claims())}.{part(z)}"),
            WRONG,
        )
    yield (
        "EdDSA with zeros",
        lambda i: f"{part({'alg': 'EdDSA', 'kid': 'ed'})}.{part(i.claims())}.{part(bytes(64))}",
        WRONG,
    )


def tokens_for_others() -> Iterator[Case]:
    for name, wrong in {"text": "other", "list": ["a", "b"], "prefix": "jobproc2"}.items():
        yield f"audience {name}", given(wrong, lambda i, w: i.token(aud=w)), AUDIENCE_WRONG
    yield "audience of another type", lambda i: i.token(aud={"jobproc": 1}), AUDIENCE_WRONG
    yield "no audience", lambda i: i.token(aud=None), LACKS
    for name, change in {"slash": "/", "path": "/realm", "query": "?a", "case": "X"}.items():
        yield f"issuer with {name}", given(change, lambda i, c: i.token(iss=i.url + c)), ISSUER_WRONG
    yield "issuer as list", lambda i: i.token(iss=[i.url]), ISSUER_WRONG
    yield "no issuer", lambda i: i.token(iss=None), LACKS
    nothing: dict[str, object] = {"empty": "", "no entry": [], "null": None}
    for name, empty in nothing.items():
        yield f"audience {name}", given(empty, lambda i, e: RSA.token(HEADER, {**i.claims(), "aud": e})), LACKS


def wrong_times() -> Iterator[Case]:
    yield "not yet valid", lambda i: i.token(nbf=int(time.time()) + 60), NOT_YET
    yield "issued in the future", lambda i: i.token(iat=int(time.time()) + 60), NOT_YET
    yield "expired beyond the leeway", lambda i: i.token(exp=int(time.time()) - 31), EXPIRED
    yield "expired long ago", lambda i: i.token(exp=0), EXPIRED
    yield "no expiry", lambda i: i.token(exp=None), LACKS
    yield "expiry too late", lambda i: i.token(exp=int(time.time()) + 86_400 * 2), "The token expires too late."
    for name in ("exp", "nbf", "iat"):
        value: object
        for value in ("4102444800", True, 10**30, 10**400, -1, -(10**30), [1], {}, 1e300):
            claims: dict[str, Any] = {name: value}
            yield f"{name} {value!r}"[:30], given(claims, lambda i, c: i.token(**c)), seconds(name)
    for raw in (b"1e999", b"NaN", b"Infinity", b"null", b"0x10"):
        text = b'{"exp": ' + raw + b"}"
        sentence = seconds("exp") if raw in (b"1e999", b"null") else MALFORMED
        yield f"exp {raw!r}", given(text, lambda _, t: RSA.token(HEADER, t)), sentence


def other_forms() -> Iterator[Case]:
    for kind in ("logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", 7, None):
        yield f"type {kind!r}", given(kind, lambda i, k: i.token(RSA, {"typ": k})), TYPE
    yield "nested", lambda i: i.token(RSA, {"cty": "JWT"}), TYPE
    yield "critical header", lambda i: i.token(RSA, {"crit": ["exp"]}), TYPE
    yield "unencoded payload", lambda i: i.token(RSA, {"b64": False, "crit": ["b64"]}), TYPE
    yield "unencoded payload, not critical", lambda i: i.token(RSA, {"b64": False}), MALFORMED
    yield (
        "bound to a key",
        lambda i: i.token(cnf={"jkt": "x"}),
        ("The token is bound to a key (claim cnf), which the API does not check."),
    )
    for end in (".", "..", ".AAAA", ".AAAA.AAAA", "=", "==", " x", "\n", "%", "\xff", "~"):
        yield f"trailing {end!r}", given(end, lambda i, e: i.token() + e), FORM
    for start in (".", "Bearer ", " "):
        yield f"leading {start!r}", given(start, lambda i, s: s + i.token()), FORM
    for text in ("", ".", "..", "a", "a.b", "...", "null", "e30.e30", "jp_short_x"):
        yield f"the text {text!r}", given(text, lambda _, t: t), FORM
    for text in ("a.b.c", "e30x.e30.AA", "bnVsbA.e30.AA", "W10.e30.AA"):
        yield f"no objects {text!r}", given(text, lambda _, t: t), MALFORMED
    yield "claims as a list", lambda _i: RSA.token(HEADER, []), MALFORMED
    yield "claims in UTF-16", lambda _i: RSA.token(HEADER, "{}".encode("utf-16")), MALFORMED
    yield "deep claims", lambda _i: RSA.token(HEADER, b"[" * 2_000), MALFORMED
    yield (
        "a claim twice",
        lambda i: RSA.token(HEADER, twice(json.dumps(i.claims()), "tenant", "acme")),
        MALFORMED,
    )
    yield (
        "a header member twice",
        lambda i: RSA.token(twice('{"alg": "RS256", "kid": "rsa"}', "alg", "none"), i.claims()),
        MALFORMED,
    )


def wrong_claims() -> Iterator[Case]:
    value: object
    for value in (1, True, {"default": 1}, ["default"], [], ["default", "acme"]):
        yield (
            f"tenant {value!r}",
            given(value, lambda i, v: i.token(tenant=v)),
            "The tenant of the token must be a text.",
        )
    for value in ("", "Default", "nobody", "1", "default\0", "../default", "default' --"):
        yield (
            f"tenant {value!r}",
            given(value, lambda i, v: i.token(tenant=v)),
            "The tenant of the token does not exist.",
        )
    yield "no tenant", lambda i: i.token(tenant=None), "The token has no tenant."
    for value in (7, {"jobs:read": True}, [1], [["jobs:read"]], True, ["jobs:read"] * 1_001):
        yield (
            f"scopes {value!r}"[:30],
            given(value, lambda i, v: i.token(scope=v)),
            "The scopes of the token must be a text with spaces, or a list of texts.",
        )
    subject = "The token has no subject, or one that is no printable text of up to 250 characters."
    for value in (None, "", "x" * 251, "a\nb", "a\0", "\u202e", "\x1b[31m"):
        yield f"subject {value!r}"[:30], given(value, lambda i, v: i.token(sub=v)), subject
    for value in (1, ["ada"], {}):
        yield f"subject {value!r}", given(value, lambda i, v: i.token(sub=v)), MALFORMED


CASES = [
    case
    for cases in (
        forged_algorithms,
        foreign_keys,
        bad_signatures,
        tokens_for_others,
        wrong_times,
        other_forms,
        wrong_claims,
    )
    for case in cases()
]


@pytest.fixture(scope="module")
def served() -> Iterator[Issuer]:
    issuer = Issuer(*SERVED)
    yield issuer
    issuer.close()


@pytest.fixture(scope="module")
def principal(served: Issuer) -> Iterator[Callable[[str], Principal]]:
    """Return what finds the caller of a token."""
    with asyncio.Runner() as runner:
        verifies = verification(served, oidc_algorithms="RS256,PS256,ES256,EdDSA", oidc_jwks_min_interval_seconds=3_600)
        yield lambda token: runner.run(verifies.principal(token))
        runner.run(verifies.close())


@pytest.mark.parametrize(("make", "sentence"), [pytest.param(make, text, id=name) for name, make, text in CASES])
def test_a_forged_token_is_refused(
    served: Issuer, principal: Callable[[str], Principal], make: Callable[[Issuer], str], sentence: str
) -> None:
    token = make(served)
    for _ in range(2):  # a refusal is no reason to believe it
        with pytest.raises(InvalidToken) as caught:
            principal(token)
        assert str(caught.value) == sentence
    assert served.requests == [DISCOVERY, JWKS][: len(served.requests)], "a token led the API to another document"


@pytest.mark.parametrize("key", [RSA, EC, ED, PS, ANY_RSA], ids=lambda key: key.id)
def test_a_good_token_of_the_same_issuer_is_accepted(
    served: Issuer, principal: Callable[[str], Principal], key: Key
) -> None:
    assert principal(served.token(key)).subject == "user:ada"


def test_scopes_that_a_token_asks_for_are_not_given_without_a_mapping(
    served: Issuer, principal: Callable[[str], Principal]
) -> None:
    token = served.token(scope="admin ADMIN jobs:read jobs:all \0")
    assert principal(token).scopes == {Scope.JOBS_READ}
