"""Networks to which nothing is sent, each family of them, and what an operator may allow."""

from ipaddress import ip_address

import pytest

from common.domain.webhooks.networks import ANY_PRIVATE, REFUSED_IPV4, RefusedNetwork, parsed_networks, refusal

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "2001:4860::8888"]
REFUSED = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd00::8", "fdff::1"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0", "febf::1"],
    "metadata": ["169.254.169.254", "169.254.170.2", "168.63.129.16", "fd00:ec2::254", "100.100.100.200"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],  # noqa: S104 - nothing binds to it
    "carrier": ["100.64.0.1", "100.127.255.254"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "broadcast and reserved": ["255.255.255.255", "240.0.0.1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "benchmarks": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "protocols": ["192.0.0.8", "192.0.0.170", "192.88.99.1", "2001:1::1", "2001:10::1", "2001:20::1"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "::ffff:0:10.0.0.1"],
    "compatible": ["::127.0.0.1", "::8.8.8.8"],
    "translated": ["64:ff9b::127.0.0.1", "64:ff9b::808:808", "64:ff9b:1::a00:1"],
    "6to4": ["2002:7f00:1::", "2002:808:808::1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001::1"],
    "not global unicast": ["100::1", "200::1", "5f00::1", "4000::1", "fec0::1"],
}


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_allowed(text: str) -> None:
    assert refusal(ip_address(text)) is None


@pytest.mark.parametrize("text", [text for family in REFUSED.values() for text in family])
def test_an_address_of_a_special_network_is_refused(text: str) -> None:
    assert refusal(ip_address(text))


@pytest.mark.parametrize("refused", REFUSED_IPV4, ids=lambda refused: str(refused.network))
def test_the_first_and_the_last_address_of_a_network_are_refused_and_mapped_ones_too(refused: RefusedNetwork) -> None:
    for address in (refused.network[0], refused.network[-1]):
        assert refusal(address)
        assert refusal(ip_address(f"::ffff:{address}"))
        assert refusal(ip_address(f"64:ff9b::{address}"))


def test_the_table_is_at_least_as_strict_as_the_standard_library() -> None:
    for first in range(256):
        for second in range(0, 256, 5):
            address = ip_address(f"{first}.{second}.3.7")
            if not address.is_global:
                assert refusal(address), address


@pytest.mark.parametrize(
    ("text", "networks", "allowed"),
    [
        ("10.20.1.2", "10.20.0.0/16", True),
        ("10.21.1.2", "10.20.0.0/16", False),
        ("fd12:3456::1", "fd12:3456::/32", True),
        ("169.254.169.254", "10.0.0.0/8, fd00::/8", False),
        ("fd00:ec2::254", "fd00::/8", False),  # the metadata of a cloud, within a network that is allowed
        ("64:ff9b::808:808", "64:ff9b::/96", True),
        ("64:ff9b::10.0.0.1", "64:ff9b::/96", False),  # the address that it stands for is checked too
        ("64:ff9b::10.0.0.1", "64:ff9b::/96, 10.0.0.0/8", True),
        ("::ffff:127.0.0.1", "::ffff:0:0/96", False),
        ("10.0.0.1", "::/0", False),
    ],
)
def test_an_operator_may_allow_networks(text: str, networks: str, allowed: bool) -> None:
    assert (refusal(ip_address(text), parsed_networks(networks)) is None) is allowed


@pytest.mark.parametrize("text", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "fd12::1"])
def test_a_host_that_an_operator_allows_may_have_any_private_address(text: str) -> None:
    assert refusal(ip_address(text), ANY_PRIVATE) is None


@pytest.mark.parametrize("text", ["169.254.169.254", "fd00:ec2::254", "224.0.0.1", "0.0.0.9", "::ffff:127.0.0.1"])
def test_but_never_one_of_metadata_or_multicast(text: str) -> None:
    assert refusal(ip_address(text), ANY_PRIVATE)


def test_a_network_with_bits_of_a_host_is_refused_with_its_text() -> None:
    with pytest.raises(ValueError, match=r"'10.0.0.1/8' is not a network"):
        parsed_networks("10.0.0.1/8")
