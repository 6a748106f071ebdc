"""The PostgreSQL of DATABASE_URL, read once for both drivers."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from common.server_urls.parameters import DATABASE_PARAMETERS, check_all
from common.server_urls.parts import MAX_PORT, UrlParts, cleaned, split_url

DEFAULT_PORT = 5432
_SCHEMES = ("postgresql", "postgres")
_PLACES = ("host", "port", "dbname", "user", "password")


def normalized_database_url(url: str) -> str:
    """Return a URL with the scheme `postgresql` and without white space around it. Raises ValueError if it is none."""
    scheme, separator, rest = cleaned(url).partition("://")
    if not separator or scheme.partition("+")[0].lower() not in _SCHEMES:
        raise ValueError("must begin with postgresql://")
    return f"postgresql://{rest}"


@dataclass(frozen=True)
class DatabaseServer:
    """The hosts of PostgreSQL and the parameters of a connection, from the URL or from libpq's environment variables.

    What neither names is left to the drivers, which then do the same.
    """

    hosts: tuple[tuple[str, int], ...]  #: names, addresses or folders of sockets, each with its port
    user: str | None
    password: str | None = field(repr=False)
    database: str | None
    target_session_attrs: str
    parameters: Mapping[str, str] = field(repr=False)  #: the others that are given

    @classmethod
    def parse(cls, url: str, environ: Mapping[str, str]) -> "DatabaseServer":
        """Read a normalized URL. Raises ValueError with a sentence that shows no value."""
        parts = split_url(url)
        check_all(parts.parameters, DATABASE_PARAMETERS)
        given = _merged(parts)
        for parameter in DATABASE_PARAMETERS.values():
            value = environ.get(parameter.variable, "") if parameter.variable else ""
            # A line break at the end of a password is that of a file.
            value = value.strip("\r\n") if parameter.name == "password" else value.strip()
            if value and parameter.name not in given:
                parameter.check(value, f"the variable {parameter.variable}")
                given[parameter.name] = value
        hosts = _hosts(parts, given)
        _check_tls(given)
        return cls(
            hosts=hosts,
            user=given.get("user"),
            password=given.get("password"),
            database=given.get("dbname"),
            target_session_attrs=given.get("target_session_attrs", "read-write" if len(hosts) > 1 else "any"),
            parameters={name: value for name, value in given.items() if name not in (*_PLACES, "target_session_attrs")},
        )


def _merged(parts: UrlParts) -> dict[str, str]:
    """Return the parameters of a URL, with those that have a place of their own in it."""
    placed = {
        "host": ",".join(host for host, _ in parts.hosts),
        "port": ",".join(port for _, port in parts.hosts).strip(","),
        "dbname": parts.path,
        "user": parts.user,
        "password": parts.password,
    }
    placed = {name: value for name, value in placed.items() if value}
    for name, value in parts.parameters.items():
        if value and name in placed:
            raise ValueError(f"{name} is given twice")
    return placed | {name: value for name, value in parts.parameters.items() if value}


def _hosts(parts: UrlParts, given: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    if not given.get("host"):
        raise ValueError("names no host; the folder of a socket is written ?host=/run/postgresql")
    hosts = given["host"].split(",")
    for host in hosts:
        _check_host(host)
    ports = [port for _, port in parts.hosts]
    if not any(ports):
        ports = given.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise ValueError(f"has {len(hosts)} hosts and {len(ports)} ports; one port for all, or one for each")
    numbers = [int(port or DEFAULT_PORT) for port in ports]
    if not all(0 < number <= MAX_PORT for number in numbers):
        raise ValueError(f"a port must be a number from 1 to {MAX_PORT}")
    return tuple(zip(hosts, numbers, strict=True))


def _check_host(host: str) -> None:
    if host.startswith("/"):
        if ".s.PGSQL." in host:
            raise ValueError("a socket is named by its folder, and by its port")
        return
    if ":" in host:
        try:
            ip_address(host)
        except ValueError:
            raise ValueError("the host parameter must not have a port; write the port parameter") from None
    elif not host or not host.isprintable() or set(host) & set(" @/\\?"):
        raise ValueError("a host is empty, or neither a name nor an address nor the folder of a socket")


def _check_tls(given: Mapping[str, str]) -> None:
    """Check what libpq would refuse at each connection, or only one of the drivers."""
    mode = given.get("sslmode", "prefer")
    if mode.startswith("verify") and "sslrootcert" not in given and not _has_default_root_certificate():
        raise ValueError(
            f"sslmode={mode} needs sslrootcert, such as /etc/ssl/certs/ca-certificates.crt for those of the system"
        )
    if given.get("sslnegotiation") == "direct" and mode in ("disable", "allow", "prefer"):
        raise ValueError("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")
    if key := given.get("sslkey"):
        status = Path(key).stat()
        shared = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO if status.st_uid == 0 else stat.S_IRWXG | stat.S_IRWXO
        if status.st_mode & shared:
            raise ValueError("sslkey names a file that others may read; its mode must be 0600, or 0640 if root owns it")
    minimum, maximum = (given.get(f"ssl_{end}_protocol_version", "") for end in ("min", "max"))
    if minimum and maximum and minimum > maximum:
        raise ValueError("ssl_min_protocol_version is above ssl_max_protocol_version")


def _has_default_root_certificate() -> bool:
    try:
        return os.access(Path.home() / ".postgresql" / "root.crt", os.R_OK)
    except RuntimeError:  # no home
        return False
