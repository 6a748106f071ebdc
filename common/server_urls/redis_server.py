"""The Redis of REDIS_URL, read once for redis-py and for Celery."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.server_urls.parameters import REDIS_PARAMETERS, check_all
from common.server_urls.parts import cleaned, split_url

DEFAULT_PORT = 6379


def normalized_redis_url(url: str) -> str:
    """Return a URL with its scheme in lower case and without white space around it. Raises ValueError if it is none."""
    scheme, separator, rest = cleaned(url).partition("://")
    if not separator or scheme.lower() not in ("redis", "rediss"):
        raise ValueError("must begin with redis:// or rediss://")
    return f"{scheme.lower()}://{rest}"


@dataclass(frozen=True)
class RedisServer:
    """The address of Redis and how to connect to it."""

    host: str
    port: int
    database: int
    username: str | None
    password: str | None = field(repr=False)
    #: None without TLS; otherwise the arguments of redis-py, complete, because Celery has other defaults
    tls: Mapping[str, str | bool] | None

    @classmethod
    def parse(cls, url: str) -> "RedisServer":
        """Read a normalized URL. Raises ValueError with a sentence that shows no value."""
        parts = split_url(url)
        if len(parts.hosts) > 1:
            raise ValueError("must name one host; Redis Cluster and several hosts are not supported")
        ((host, port),) = parts.hosts
        if not host or not host.isprintable() or set(host) & set(" @/\\?"):
            raise ValueError("names no host")
        database = parts.path or "0"
        if not (database.isascii() and database.isdecimal() and len(database) <= len("99999")):
            raise ValueError("the path must be the number of the database")
        check_all(parts.parameters, REDIS_PARAMETERS)
        if parts.parameters and parts.scheme == "redis":
            raise ValueError(f"{next(iter(parts.parameters))} needs rediss://")
        return cls(
            host=host,
            port=int(port or DEFAULT_PORT),
            database=int(database),
            username=parts.user or None,
            password=parts.password or None,
            tls=_tls(parts.parameters) if parts.scheme == "rediss" else None,
        )

    @property
    def url(self) -> str:
        """The URL without user, password and parameters.

        Both clients get those of TLS apart, because Celery reads them differently, and the login for each connection.
        """
        scheme = "redis" if self.tls is None else "rediss"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{self.database}"


def _tls(parameters: Mapping[str, str]) -> dict[str, str | bool]:
    certificates = parameters.get("ssl_cert_reqs", "required")
    checks_name = parameters.get("ssl_check_hostname", "false" if certificates == "none" else "true") == "true"
    if checks_name and certificates == "none":
        raise ValueError("ssl_check_hostname=true needs ssl_cert_reqs=required")
    return {**parameters, "ssl_cert_reqs": certificates, "ssl_check_hostname": checks_name}
