"""Addresses to which requests are attributed."""

from typing import Any

import pytest

from api.limits.addresses import ClientAddresses, address_key

PROXIES = "10.0.0.0/8, 192.168.1.1,fd00::/8"


def of_request(peer: str | None, *headers: tuple[str, str], proxies: str = PROXIES) -> str:
    scope: dict[str, Any] = {
        "client": None if peer is None else (peer, 1),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    return ClientAddresses(proxies).of_request(scope)


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a socket file", "a socket file"),
    ],
)
def test_an_ipv6_address_counts_as_its_network(host: str, key: str) -> None:
    assert address_key(host) == key


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], "10.0.0.9"),
        ([("x-forwarded-for", "1.2.3.4")], "1.2.3.4"),
        ([("x-forwarded-for", "6.6.6.6, 1.2.3.4 ,10.0.0.1, 192.168.1.1")], "1.2.3.4"),
        ([("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4")], "1.2.3.4"),
        ([("x-forwarded-for", "1.2.3.4:5678")], "1.2.3.4"),
        ([("x-forwarded-for", "[2001:db8::7]:80")], "2001:db8::/64"),
        ([("x-forwarded-for", "2001:db8::7")], "2001:db8::/64"),
        ([("x-forwarded-for", "10.1.1.1, 10.2.2.2")], "10.1.1.1"),
        ([("x-forwarded-for", "1.2.3.4, nonsense")], "10.0.0.9"),
        ([("x-forwarded-for", "1.2.3.4, nonsense, 10.0.0.1")], "10.0.0.1"),
        ([("x-forwarded-for", "")], "10.0.0.9"),
        ([("forwarded", 'For="[2001:db8::7]:4711";proto=http, for=1.2.3.4;by=10.0.0.1')], "1.2.3.4"),
        ([("forwarded", "for=1.2.3.4"), ("forwarded", "proto=https;for=5.6.7.8")], "5.6.7.8"),
        ([("forwarded", "for=unknown")], "10.0.0.9"),
        ([("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "1.2.3.4")], "1.2.3.4"),
    ],
)
def test_the_last_address_that_is_not_a_proxy_is_the_client(headers: list[tuple[str, str]], expected: str) -> None:
    assert of_request("10.0.0.9", *headers) == expected


@pytest.mark.parametrize("proxies", [PROXIES, ""])
def test_others_may_forward_no_address(proxies: str) -> None:
    assert of_request("7.7.7.7", ("x-forwarded-for", "1.2.3.4"), proxies=proxies) == "7.7.7.7"
    assert of_request(None, ("x-forwarded-for", "1.2.3.4"), proxies=proxies) == ""


def test_a_mapped_ipv4_address_of_a_proxy_is_trusted() -> None:
    assert of_request("::ffff:10.0.0.1", ("x-forwarded-for", "1.2.3.4")) == "1.2.3.4"


def test_only_the_last_proxies_are_read() -> None:
    assert of_request("10.0.0.9", ("x-forwarded-for", "1.2.3.4" + ", 10.0.0.1" * 31)) == "1.2.3.4"
    assert of_request("10.0.0.9", ("x-forwarded-for", "1.2.3.4" + ", 10.0.0.1" * 32)) == "10.0.0.1"
