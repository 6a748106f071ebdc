"""Addresses of servers: what may stand in them, and how they look in a log."""

import re

_HOST = re.compile(r"(?:\[[^\[\]]*\]|[^:\[\]]*)(?::(\d{0,5}))?")
MAX_PORT = 65_535


def checked_hosts(url: str) -> str:
    """Return the URL. Raises ValueError where one of its hosts, or its port, cannot be one."""
    hosts = re.split(r"[/?#]", url.partition("://")[2].rpartition("@")[2], maxsplit=1)[0]
    for host in hosts.split(","):  # libpq takes several
        found = _HOST.fullmatch(host)
        if found is None or int(found[1] or 0) > MAX_PORT:
            raise ValueError("a host must be name:port or [IPv6]:port, the port a number up to 65535")
    return url


def masked_url(url: str) -> str:
    """Return the URL with its password replaced, wherever it stands and whatever characters it has."""
    shown = re.sub(r"://([^:/@]*):.*@", r"://\1:***@", url, flags=re.DOTALL)
    return re.sub(r"(?i)(password|sslkey)=[^&]*", r"\1=***", shown)
