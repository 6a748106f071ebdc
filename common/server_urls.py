"""URLs of PostgreSQL and Redis: their validation, and their form in a log."""

import re

_HOST = re.compile(r"(?:\[[^\[\]]*\]|[^:\[\]]*)(?::(\d{0,5}))?")
MAX_PORT = 65_535


def checked_hosts(url: str) -> str:
    """Return the URL unchanged. Raises ValueError if a host or a port in it is invalid."""
    hosts = re.split(r"[/?#]", url.partition("://")[2].rpartition("@")[2], maxsplit=1)[0]
    for host in hosts.split(","):  # libpq accepts several
        parts = _HOST.fullmatch(host)
        if parts is None or int(parts[1] or 0) > MAX_PORT:
            raise ValueError("a host must be name:port or [IPv6]:port, the port a number up to 65535")
    return url


def masked_url(url: str) -> str:
    """Return the URL with its password masked, in the authority or in a parameter and with any characters."""
    shown = re.sub(r"://([^:/@]*):.*@", r"://\1:***@", url, flags=re.DOTALL)
    return re.sub(r"(?i)(password|sslkey)=[^&]*", r"\1=***", shown)
