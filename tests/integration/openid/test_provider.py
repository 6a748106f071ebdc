"""The provider's keys: read once for all, rotated, kept while the provider is away, and never from a wrong place."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from rig.issuer import DISCOVERY, JWKS, Issuer, Key, send
from rig.tls import Certificate
from rig.verification import principal, verification
from structlog.testing import capture_logs

from api.auth.access import InvalidToken
from api.auth.openid.fetch import MAX_DOCUMENT_BYTES, Documents, FetchError
from api.auth.openid.tokens import TokenVerification
from api.web.problems import ProblemError
from common.domain.errors import StartupError

OLD, NEW = Key("ES256", "old"), Key("EdDSA", "new")
NO_INTERVAL: dict[str, Any] = {"oidc_jwks_min_interval_seconds": 0.001}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer(OLD)
    yield issuer
    issuer.close()


def run(verifies: TokenVerification, *tokens: str) -> list[Any]:
    """Return the answers to tokens that come at once: subjects or exceptions."""

    async def answer() -> list[Any]:
        answers = await asyncio.gather(*map(verifies.principal, tokens), return_exceptions=True)
        return [getattr(found, "subject", found) for found in answers]

    return asyncio.run(answer())


def kinds(answers: list[Any]) -> list[str]:
    return [found if isinstance(found, str) else type(found).__name__ for found in answers]


def test_many_tokens_at_once_cause_one_read(issuer: Issuer) -> None:
    tokens = [issuer.token(sub=f"user-{number}") for number in range(50)]
    assert run(verification(issuer), *tokens) == [f"user:user-{number}" for number in range(50)]
    assert issuer.requests == [DISCOVERY, JWKS]


def test_unknown_keys_cause_one_read_an_interval(issuer: Issuer) -> None:
    verifies = verification(issuer)
    strangers = [issuer.token(OLD, {"kid": f"stranger-{number}"}) for number in range(50)]
    assert run(verifies, issuer.token()) == ["user:ada"]
    assert set(kinds(run(verifies, *strangers))) == {"InvalidToken"}
    assert issuer.requests == [DISCOVERY, JWKS], "the last read was a moment ago"
    verifies.provider._tried_at -= 10
    assert set(kinds(run(verifies, *strangers))) == {"InvalidToken"}
    assert issuer.requests == [DISCOVERY, JWKS] * 2


def test_a_new_key_is_known_with_its_first_token_and_an_old_one_forgotten_with_its_tokens(issuer: Issuer) -> None:
    async def rotate() -> None:
        verifies = verification(issuer, **NO_INTERVAL)
        before = issuer.token(OLD)
        await verifies.principal(before)
        issuer.keys = [OLD, NEW]
        await asyncio.gather(verifies.principal(issuer.token(NEW)), verifies.principal(before))
        issuer.keys = [NEW]
        verifies.provider._read_at -= 600  # the next read is due, and no token waits for it
        await verifies.principal(issuer.token(NEW, sub="eve"))
        assert verifies.provider._reading is not None
        await verifies.provider._reading
        with pytest.raises(InvalidToken):  # it was believed a moment ago
            await verifies.principal(before)

    asyncio.run(rotate())


def test_a_verified_token_is_believed_for_a_minute_and_not_beyond_its_expiry(issuer: Issuer) -> None:
    verifies = verification(issuer, oidc_leeway_seconds=0)
    token, now = issuer.token(exp=int(time.time()) + 3_000), time.time()
    short = issuer.token(exp=int(now) + 20)
    assert run(verifies, token, short) == ["user:ada"] * 2
    first, second = sorted(believed.until - now for believed in verifies._believed.values())
    assert first <= 20
    assert 59 <= second <= 61


def test_the_number_of_believed_tokens_is_limited(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.auth.openid.tokens.MAX_BELIEVED", 3)
    verifies = verification(issuer)
    run(verifies, *(issuer.token(sub=f"user-{number}") for number in range(10)))
    assert len(verifies._believed) == 3


def test_an_outage_is_survived_with_the_known_keys(issuer: Issuer) -> None:
    registry = CollectorRegistry()
    verifies = verification(issuer, registry, **NO_INTERVAL)
    with capture_logs() as logged:
        assert run(verifies, issuer.token()) == ["user:ada"]
        issuer.answers = {DISCOVERY: lambda handler: send(handler, 500, b"")}
        for _ in range(3):
            verifies.provider._read_at -= 700
            assert run(verifies, issuer.token(sub="eve")) == ["user:eve"]
            assert kinds(run(verifies, issuer.token(NEW))) == ["ProblemError"], "the provider may have this key by now"
        verifies.provider._read_at -= 86_400
        (answer,) = run(verifies, issuer.token(sub="bob"))
        assert isinstance(answer, ProblemError)
        assert (answer.kind.status, answer.kind.name) == (503, "issuer-unavailable")
        issuer.answers = {}
        assert run(verifies, issuer.token(sub="bob")) == ["user:bob"]
    assert [entry["event"] for entry in logged] == ["issuer_keys_read", "issuer_unavailable", "issuer_keys_read"]
    assert "status 500" in logged[1]["reason"]
    assert registry.get_sample_value("jobproc_issuer_fetches_total", {"outcome": "ok"}) == 2
    failed = registry.get_sample_value("jobproc_issuer_fetches_total", {"outcome": "failed"})
    assert failed is not None
    assert failed >= 3
    last_success = registry.get_sample_value("jobproc_issuer_last_success_timestamp_seconds")
    assert last_success is not None
    assert last_success > 1e9


def slow(after: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with a byte each fifth of a second, after some that come at once."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(after)
        for _ in range(100):
            try:
                handler.wfile.write(b"a")
            except OSError:
                return
            time.sleep(0.2)

    return answer


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("path", "answer", "reason"),
    [
        (DISCOVERY, lambda h: send(h, 404, b""), "status 404"),
        (DISCOVERY, lambda h: send(h, 302, b"", Location=JWKS), "status 302"),
        (DISCOVERY, lambda h: send(h, 200, b"<html>"), "no JSON"),
        (DISCOVERY, lambda h: send(h, 200, b"[]"), "no JSON object"),
        (DISCOVERY, lambda h: send(h, 200, b'{"issuer": "https://thief.example"}'), "of another issuer"),
        (DISCOVERY, lambda h: send(h, 200, b'{"issuer": 1, "issuer": 2}'), "no JSON"),
        (DISCOVERY, slow(b""), "no document within 0.5 s"),
        (DISCOVERY, slow(OK + b"X-Slow: "), "no document within 0.5 s"),
        (JWKS, slow(OK + b"Content-Length: 99\r\n\r\n"), "no document within 0.5 s"),
        (JWKS, lambda h: send(h, 200, b" " * (MAX_DOCUMENT_BYTES + 1)), f"more than {MAX_DOCUMENT_BYTES} bytes"),
        (JWKS, lambda h: send(h, 200, b"{}", **{"Content-Length": "9"}), "it ends 7 bytes early"),
        (JWKS, lambda h: send(h, 200, b"{}"), "no list of at most 100 keys"),
        (JWKS, lambda h: send(h, 200, json.dumps({"keys": [OLD.public] * 101}).encode()), "no list of at most 100"),
        (JWKS, lambda h: send(h, 200, b'{"keys": [1, null, {}, {"kid": 1}, {"kid": "a", "kty": "RSA"}]}'), "no usable"),
        (JWKS, lambda h: h.wfile.write(b"no HTTP\r\n\r\n"), "no HTTP"),
        (JWKS, lambda _: None, "without response"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_document_is_no_document(
    issuer: Issuer, path: str, answer: Callable[[BaseHTTPRequestHandler], None], reason: str
) -> None:
    issuer.answers = {path: answer}
    began = time.monotonic()
    with capture_logs() as logged, pytest.raises(ProblemError):
        principal(issuer, issuer.token(), oidc_fetch_timeout_seconds=0.5)
    assert reason in logged[0]["reason"]
    assert time.monotonic() - began < 3, "the thread of a fetch has ended too"


@pytest.mark.parametrize(
    "url", ["http://id.example/jwks", "file:///etc/passwd", "//id.example", "https://u:p@id.example/"]
)
def test_keys_are_read_by_https_alone(issuer: Issuer, url: str) -> None:
    document = json.dumps({"issuer": issuer.url, "jwks_uri": url}).encode()
    issuer.answers = {DISCOVERY: lambda handler: send(handler, 200, document)}
    with capture_logs() as logged, pytest.raises(ProblemError):
        principal(issuer, issuer.token())
    assert "the URL must" in logged[0]["reason"]


def test_keys_of_a_url_need_no_discovery(issuer: Issuer) -> None:
    assert principal(issuer, issuer.token(), oidc_jwks_url=issuer.url + JWKS).subject == "user:ada"
    assert issuer.requests == [JWKS]


def test_a_certificate_of_the_own_authority_is_trusted_and_no_other(issuer: Issuer, tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    server = issuer._server
    server.socket = certificate.context().wrap_socket(server.socket, server_side=True)
    url = f"https://localhost:{issuer.port}{JWKS}"
    assert "keys" in asyncio.run(Documents(5, str(certificate.file)).read(url))
    with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
        asyncio.run(Documents(5, "").read(url))


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_without_certificates_ends_the_start(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    with pytest.raises(StartupError, match="JOBPROC_OIDC_CA_FILE: cannot read"):
        Documents(5, str(file))
