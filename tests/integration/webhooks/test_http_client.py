"""The HTTP client of webhooks, with real sockets and resolvers of the test's own."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rig.tls import Authority
from rig.webhook_receiver import OK, Received, WebhookReceiver

from common.settings import Settings
from worker.webhooks.http_client import AddressInfo, HttpClient, Resolve, Response, TargetRefused

BODY = b'{"type":"webhook.test"}'


def settings_for(port: int, **members: Any) -> Settings:
    """Return settings with which a receiver of the test is allowed as a private host."""
    given = {
        "webhook_schemes": "https,http",
        "webhook_ports": f"{port},443",
        "webhook_private_hosts": "receiver.internal",
        "webhook_timeout_seconds": 2.0,
    }
    return Settings(**{**given, **members})


def info(address: str, port: int) -> AddressInfo:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, 6, "", (address, port))


def always(*addresses: str) -> Resolve:
    """Return a resolver that knows these addresses."""

    async def resolve(_host: str, port: int) -> list[AddressInfo]:
        return [info(address, port) for address in addresses]

    return resolve


def post(settings: Settings, url: str, resolve: Resolve | None = None, times: int = 1) -> list[Response]:
    """Send a body so many times with one client."""

    async def run() -> list[Response]:
        client = HttpClient(settings, resolve)
        try:
            target = settings.webhook_url_rules.parse(url)
            return [await client.post(target, BODY, {"webhook-id": "1"}) for _ in range(times)]
        finally:
            await client.close()

    return asyncio.run(run())


def test_a_message_comes_as_it_was_sent_on_one_connection(receiver: WebhookReceiver) -> None:
    receiver.answer = lambda _: (202, {"retry-after": "7"}, b"accepted")
    settings = settings_for(receiver.port)
    url = receiver.url("/a%20b?c=%2F", host="receiver.internal")
    responses = post(settings, url, always("127.0.0.1"), times=3)
    assert responses == [Response(202, 7.0, "accepted")] * 3
    [request, *_] = receiver.received
    assert (request.path, request.body) == ("/a%20b?c=%2F", BODY)
    assert request.headers["host"] == f"receiver.internal:{receiver.port}"
    assert request.headers["user-agent"] == "jobproc-webhooks"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "0.0.0.9", "255.255.255.255"),
        *("::1", "::", "fd00::1", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
def test_a_name_with_a_special_address_is_refused(receiver: WebhookReceiver, address: str) -> None:
    with pytest.raises(TargetRefused, match="nothing was sent"):
        post(settings_for(receiver.port), receiver.url(host="hooks.example.com"), always(address))
    assert not receiver.received


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/", "http://[::1]:{}/", "http://[::ffff:127.0.0.1]:{}/"])
def test_an_address_in_the_url_is_checked_too(receiver: WebhookReceiver, url: str) -> None:
    with pytest.raises(TargetRefused):
        post(settings_for(receiver.port), url.format(receiver.port))
    assert not receiver.received


def test_only_the_allowed_addresses_of_a_name_are_used(receiver: WebhookReceiver) -> None:
    settings = settings_for(receiver.port, webhook_private_networks="127.0.0.0/8")
    resolve = always("10.0.0.1", "::1", "127.0.0.1")
    assert post(settings, receiver.url(host="hooks.example.com"), resolve)[0].status == 204


def test_a_name_that_is_bound_anew_is_refused_at_the_next_look_up(receiver: WebhookReceiver) -> None:
    """Its first address is allowed, and its server closes the connection; then it has the one of the receiver."""
    allowed = WebhookReceiver(address=("127.0.0.2", receiver.port))
    allowed.answer = lambda _: (200, {"connection": "close"}, b"")
    answers = iter(["127.0.0.2", "127.0.0.1"])

    async def resolve(_host: str, port: int) -> list[AddressInfo]:
        return [info(next(answers), port)]

    settings = settings_for(receiver.port, webhook_private_networks="127.0.0.2/32")
    with pytest.raises(TargetRefused, match=r"127\.0\.0\.1"):
        post(settings, receiver.url(host="rebind.example.com"), resolve, times=2)
    allowed.close()
    assert (len(allowed.received), len(receiver.received)) == (1, 0)


def test_the_address_is_checked_where_the_socket_is_made_whatever_the_resolver_said(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver whose answer was checked, and then another is connected to: what rebinding comes to."""
    checked: list[str] = []

    async def resolve_unchecked(self: HttpClient, host: str, port: int, *, is_private: bool) -> list[AddressInfo]:
        checked.append(host)
        return [info("127.0.0.1", port)]

    monkeypatch.setattr(HttpClient, "resolve", resolve_unchecked)
    with pytest.raises(TargetRefused):
        post(settings_for(receiver.port), receiver.url(host="hooks.example.com"))
    assert checked == ["hooks.example.com"]
    assert not receiver.received


def test_each_new_connection_asks_the_resolver_anew(receiver: WebhookReceiver) -> None:
    receiver.answer = lambda _: (200, {"connection": "close"}, b"")
    asked = []

    async def resolve(host: str, port: int) -> list[AddressInfo]:
        asked.append(host)
        return [info("127.0.0.1", port)]

    post(settings_for(receiver.port), receiver.url(host="receiver.internal"), resolve, times=3)
    assert len(asked) == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: WebhookReceiver, status: int) -> None:
    other = WebhookReceiver()
    receiver.answer = lambda _: (status, {"location": other.url("/secret")}, b"")
    try:
        [response] = post(settings_for(receiver.port), receiver.url(host="receiver.internal"), always("127.0.0.1"))
    finally:
        other.close()
    assert response.status == status
    assert not other.received


def test_of_a_large_answer_only_the_beginning_is_read(receiver: WebhookReceiver) -> None:
    sent = b"x" * 50_000_000
    receiver.answer = lambda _: (500, {}, sent)
    settings = settings_for(receiver.port, webhook_max_response_bytes=1_000, webhook_response_characters=10)
    began = time.monotonic()
    [response] = post(settings, receiver.url(host="receiver.internal"), always("127.0.0.1"))
    assert response == Response(500, None, "x" * 10)
    assert time.monotonic() - began < 2


def test_a_compressed_answer_is_not_unpacked(receiver: WebhookReceiver) -> None:
    receiver.answer = lambda _: (200, {"content-encoding": "gzip"}, b"\x1f\x8b" + bytes(100))
    [response] = post(settings_for(receiver.port), receiver.url(host="receiver.internal"), always("127.0.0.1"))
    assert response.status == 200


def test_a_cookie_is_never_sent_back(receiver: WebhookReceiver) -> None:
    receiver.answer = lambda _: (200, {"set-cookie": "a=b"}, b"")
    post(settings_for(receiver.port), receiver.url(host="receiver.internal"), always("127.0.0.1"), times=2)
    assert not any("cookie" in request.headers for request in receiver.received)


def test_the_proxy_of_the_environment_is_not_used(receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = WebhookReceiver()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url())
    post(settings_for(receiver.port), receiver.url(host="receiver.internal"), always("127.0.0.1"))
    proxy.close()
    assert (len(receiver.received), len(proxy.received)) == (1, 0)


def test_a_slow_receiver_is_given_up_after_the_time_limit(receiver: WebhookReceiver) -> None:
    done = threading.Event()

    def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        done.wait(10)
        return OK

    receiver.answer = answer
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        post(
            settings_for(receiver.port, webhook_timeout_seconds=0.3),
            receiver.url(host="receiver.internal"),
            always("127.0.0.1"),
        )
    done.set()
    assert time.monotonic() - began < 3


def raw_server(script: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """Run a script with the first connection of a server of bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            script(connection)

    threading.Thread(target=serve, daemon=True).start()
    return listener, listener.getsockname()[1]


def drip(connection: socket.socket) -> None:
    """Send a header a byte at a time, for ever."""
    try:
        while True:
            connection.sendall(b"H")
            time.sleep(0.02)
    except OSError:
        return


@pytest.mark.parametrize(
    "script",
    [
        drip,
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000),
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 1_000_000 + b"\r\n\r\n"),
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"),
        lambda connection: connection.close(),
    ],
    ids=["drips", "many headers", "a long header", "another protocol", "hangs up"],
)
def test_an_answer_that_is_none_is_a_failure(script: Callable[[socket.socket], None]) -> None:
    listener, port = raw_server(script)
    with listener, pytest.raises((aiohttp.ClientError, TimeoutError, OSError)):
        post(settings_for(port, webhook_timeout_seconds=1.0), f"http://receiver.internal:{port}/", always("127.0.0.1"))


def test_the_certificate_is_of_the_name_and_of_a_known_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    receiver = WebhookReceiver(authority.sign("server", "receiver.internal").context())
    url = receiver.url(scheme="https", host="receiver.internal")
    try:
        with_ca = settings_for(receiver.port, webhook_ca_file=str(authority.file))
        assert post(with_ca, url, always("127.0.0.1"))[0].status == 204
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            post(settings_for(receiver.port), url, always("127.0.0.1"))
        other = settings_for(receiver.port, webhook_ca_file=str(authority.file), webhook_private_hosts="other.internal")
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            post(other, receiver.url(scheme="https", host="other.internal"), always("127.0.0.1"))
    finally:
        receiver.close()


def test_a_name_is_resolved_without_the_search_list_of_the_system(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def getaddrinfo(host: str, port: int, **_: object) -> list[AddressInfo]:
        asked.append(host)
        return [info("127.0.0.1", port)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(TargetRefused):
        post(settings_for(receiver.port), receiver.url(host="hooks.example.com"))
    post(settings_for(receiver.port), receiver.url(host="receiver.internal"))
    assert asked == ["hooks.example.com.", "receiver.internal"]
