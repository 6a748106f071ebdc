"""The parts of a server's URL, read as libpq reads them. No error shows a text of the URL: it may be a password's."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

MAX_PORT = 65_535
_HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(\d{0,5}))?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_NAME = re.compile(r"\w+", re.ASCII)


@dataclass(frozen=True)
class UrlParts:
    """The parts of a URL, decoded."""

    scheme: str
    user: str = ""
    password: str = field(default="", repr=False)
    hosts: tuple[tuple[str, str], ...] = ()  #: host and port, each empty if the URL has none
    path: str = ""
    parameters: dict[str, str] = field(default_factory=dict, repr=False)


def cleaned(url: str) -> str:
    """Return the URL without white space around it, such as the last newline of a file. Raises ValueError if it is bad.

    A character that is invalid in a URL is a part of a user or a password that was not percent-encoded, or the end of
    a part from which the URL was made.
    """
    url = url.strip()
    if re.search(r"\s", url) or not url.isprintable():
        raise ValueError("has white space or a control character inside; look at the end of each part it is made of")
    if "#" in url:
        raise ValueError("has a #, which must be percent-encoded as %23")
    if _BAD_ESCAPE.search(url):
        raise ValueError("has a % that does not begin an encoded character; a % itself must be written %25")
    return url


def split_url(url: str) -> UrlParts:
    """Split a cleaned URL. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    before_query, _, query = rest.partition("?")
    authority, _, path = before_query.partition("/")
    if "@" in path + query:  # what follows would be taken for a host, a database or a parameter, and shown
        raise ValueError(
            "has an @ behind a / or a ?; in a user, a password or a parameter they must be percent-encoded as "
            "%40 %2F %3F"
        )
    if authority.count("@") > 1:
        raise ValueError("has several @; in a user or a password it must be percent-encoded as %40")
    userinfo, _, hosts = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    return UrlParts(
        scheme=scheme,
        user=unquote(user),
        password=unquote(password),
        hosts=tuple(_host(text) for text in hosts.split(",")),
        path=unquote(path),
        parameters=_parameters(query),
    )


def _host(text: str) -> tuple[str, str]:
    parts = _HOST.fullmatch(text)
    if parts is None or int(parts[3] or 0) > MAX_PORT:
        raise ValueError(f"a host must be name:port or [IPv6]:port, the port a number up to {MAX_PORT}")
    return unquote(parts[1] or parts[2] or ""), parts[3] or ""


def _parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, separator, value = pair.partition("=")
        if not separator or not _NAME.fullmatch(name):
            raise ValueError("what follows the ? must be name=value, separated by &")
        if name in parameters:
            raise ValueError(f"{name} is given twice")
        parameters[name] = unquote(value)
    return parameters
