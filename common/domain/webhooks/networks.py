"""The networks to which no webhook is sent: a table of its own, of the registries of IANA for special addresses.

`ipaddress` has such a table too, but each version of Python has another one, and none of them has the addresses of IPv6
that stand for one of IPv4. Of IPv6 only the global unicast addresses are allowed, so a new kind of address is refused.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class RefusedNetwork(NamedTuple):
    """A network to which nothing is sent."""

    network: Network
    meaning: str


_IPV4 = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "a private network",
    "100.64.0.0/10": "a network behind a carrier's NAT",
    "127.0.0.0/8": "the loopback network",
    "169.254.0.0/16": "the link-local network, which has the metadata of clouds",
    "172.16.0.0/12": "a private network",
    "192.0.0.0/24": "a network of protocols",
    "192.0.2.0/24": "a network for documentation",
    "192.31.196.0/24": "the AS112 network",
    "192.52.193.0/24": "the AMT network",
    "192.88.99.0/24": "the network of 6to4 relays",
    "192.168.0.0/16": "a private network",
    "192.175.48.0/24": "the AS112 network",
    "198.18.0.0/15": "a network for benchmarks",
    "198.51.100.0/24": "a network for documentation",
    "203.0.113.0/24": "a network for documentation",
    "224.0.0.0/4": "the multicast network",
    "240.0.0.0/4": "a reserved network, with the broadcast address",
    "168.63.129.16/32": "the address of a cloud's metadata",
}
#: Within a private network, so an allowed network may have them.
_NEVER = (IPv6Address("fd00:ec2::254"), IPv6Address("fd20:ce::254"))
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Within the global unicast addresses.
_IPV6 = {
    "2001::/23": "a network of protocols, such as Teredo and ORCHID",
    "2001:db8::/32": "a network for documentation",
    "2002::/16": "the 6to4 network, whose addresses stand for ones of IPv4",
    "2620:4f:8000::/48": "the AS112 network",
    "3ffe::/16": "the former 6bone",
    "3fff::/20": "a network for documentation",
}
# Outside of them: named for the message.
_OTHER_IPV6 = {
    "::/128": "the unspecified address",
    "::1/128": "the loopback address",
    "::ffff:0:0/96": "the network of IPv4 addresses mapped to IPv6",
    "::ffff:0:0:0/96": "the network of IPv4 addresses translated to IPv6",
    "64:ff9b::/96": "the NAT64 network, whose addresses stand for ones of IPv4",
    "64:ff9b:1::/48": "the local NAT64 network, whose addresses stand for ones of IPv4",
    "fc00::/7": "a private network",
    "fe80::/10": "the link-local network",
    "fec0::/10": "the former site-local network",
    "ff00::/8": "the multicast network",
}


def _table(networks: dict[str, str]) -> list[RefusedNetwork]:
    return [RefusedNetwork(ip_network(network), meaning) for network, meaning in networks.items()]


REFUSED_IPV4 = _table(_IPV4)
REFUSED_IPV6 = _table(_IPV6)
_NAMED_IPV6 = _table(_OTHER_IPV6)
_BEYOND = "a network that is not of global unicast addresses"
#: Networks of hosts that an operator allows by name. Metadata, multicast and networks without hosts stay refused.
ANY_PRIVATE: list[Network] = [
    ip_network(name)
    for name in (
        *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("::1/128", "64:ff9b::/96", "fc00::/7"),
    )
]
#: In the last 32 bits of these an address of IPv4 is written; it is checked too where an operator allows the network.
_EMBEDDED_IPV4 = [IPv6Network(name) for name in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")]


def refusal(address: Address, allowed: Sequence[Network] = ()) -> str | None:
    """Return why nothing is sent to an address; None: it may be sent. `allowed`: networks that an operator allows."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "an address of one link alone"
    if address in _NEVER:
        return "the address of a cloud's metadata"
    is_allowed = any(address.version == network.version and address in network for network in allowed)
    if isinstance(address, IPv4Address):
        return None if is_allowed else _meaning(address, REFUSED_IPV4)
    embedded = embedded_ipv4(address)
    if is_allowed:
        return None if embedded is None else refusal(embedded, allowed)
    if address not in _GLOBAL_UNICAST:
        return _meaning(address, _NAMED_IPV6) or _BEYOND
    return _meaning(address, REFUSED_IPV6)


def embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the address of IPv4 that an address of IPv6 stands for, in its last 32 bits; None: it is none of these."""
    if int(address) <= 1 or not any(address in network for network in _EMBEDDED_IPV4):
        return None
    return IPv4Address(int(address) & 0xFFFFFFFF)


def parsed_networks(text: str) -> list[Network]:
    """Return networks that are separated by commas. Raises ValueError, which names one that is none."""
    found: list[Network] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ip_network(part))
        except ValueError as error:
            raise ValueError(f"{part!r} is not a network, such as 10.20.0.0/16 or fd12:3456::/32: {error}") from error
    return found


def parsed_address(text: str) -> Address | None:
    """Return an address in its usual form; None: the text is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _meaning(address: Address, table: Sequence[RefusedNetwork]) -> str | None:
    return next((meaning for network, meaning in table if address in network), None)
