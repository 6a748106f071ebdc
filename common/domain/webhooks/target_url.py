"""URLs of endpoints: only plain ones are taken, so that no two parsers can read one differently."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

MAX_CHARACTERS = 2_048
_MAX_NAME_CHARACTERS = 253
_FORM = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\[\]/?#:@\\]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!-~]*|)(?P<query>\?[!-~]*|)"
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# What some parser of addresses takes for one: 127.1, 0x7f000001, 2130706433, 0177.0.0.1.
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """A URL of an endpoint, in its parts."""

    scheme: str
    host: str  #: a name in lower case, or an address without brackets
    port: int
    target: str  #: path and query


@dataclass(frozen=True, slots=True)
class UrlRules:
    """The URLs that endpoints may have."""

    schemes: Sequence[str]
    ports: Sequence[int]
    hosts: Sequence[str] = ("*",)  #: names and patterns, such as `*.example.com`; `*`: any
    private_hosts: Sequence[str] = ()  #: likewise; names that may have any address, and need no dot

    def parse(self, url: str) -> TargetUrl:
        """Return the parts of a URL. Raises ValueError with the reason for which it is not taken."""
        target = _parse(url)
        if target.scheme not in self.schemes:
            raise ValueError(f"has the scheme {target.scheme}; allowed is {' or '.join(self.schemes)}")
        if target.port not in self.ports:
            raise ValueError(f"has the port {target.port}; allowed is {', '.join(map(str, self.ports))}")
        if not (matches(target.host, self.hosts) or self.is_private_host(target.host)):
            raise ValueError("has a host that the operator does not allow (JOBPROC_WEBHOOK_HOSTS)")
        if "." not in target.host and ":" not in target.host and not self.is_private_host(target.host):
            raise ValueError("has a host without a dot, which only this network knows")
        return target

    def is_private_host(self, host: str) -> bool:
        """Return True if an operator allows any address of a host."""
        return matches(host, self.private_hosts)


def matches(host: str, patterns: Sequence[str]) -> bool:
    """Return True if a host is one of these, or below one of the form `*.example.com`."""
    return any(
        pattern in ("*", host) or (pattern.startswith("*.") and host.endswith(pattern[1:]) and host != pattern[1:])
        for pattern in patterns
    )


def _parse(url: str) -> TargetUrl:
    if len(url) > MAX_CHARACTERS:
        raise ValueError(f"has more than {MAX_CHARACTERS} characters")
    if not url.isascii():
        raise ValueError("has a character that is not ASCII; write a name with others in its form xn--…")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ValueError("has a user name or password; receivers check the signature instead")
    if "#" in url:
        raise ValueError("has a fragment, which is never sent")
    head, separator, rest = url.partition("://")
    authority = re.match(r"[^/?#\\]*", rest)
    length = len(authority[0]) if authority else 0
    found = _FORM.fullmatch(f"{head}{separator}{rest[:length]}".lower() + rest[length:])
    if found is None:
        raise ValueError("is not a URL of the form https://host/path")
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[found["scheme"]]
    return TargetUrl(found["scheme"], _host(found["host"]), port, (found["path"] or "/") + found["query"])


def _host(text: str) -> str:
    if text.startswith("["):
        address = text[1:-1]
        try:
            return str(IPv6Address(address))
        except ValueError as error:
            raise ValueError(f"has an address that is none: {error}") from error
    labels = text.split(".")
    if _NUMERIC.fullmatch(labels[-1]) or (labels[-1] == "" and len(labels) > 1 and _NUMERIC.fullmatch(labels[-2])):
        try:
            return str(IPv4Address(text))
        except ValueError as error:
            raise ValueError(f"has a host that ends with a number and is no address of IPv4: {error}") from error
    if text.endswith("."):
        raise ValueError("has a host with a dot at its end")
    if len(text) > _MAX_NAME_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("has a host that is no name of DNS")
    return text
