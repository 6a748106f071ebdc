"""The tables of the parameters that a server's URL may have: which are honoured, with which values, and which are not.

Those of PostgreSQL are all parameters of libpq. libpq (workers, controller, migration) and asyncpg (API) know different
ones, so each is either honoured by both or refused at the start.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Parameter:
    """A parameter: its name, its meaning or the reason of its refusal, and its values."""

    name: str
    text: str
    variable: str = ""  #: the environment variable that is its default
    values: tuple[str, ...] = ()  #: empty: any
    pattern: str = ""  #: empty: any
    refused: bool = False
    is_file: bool = False

    def check(self, value: str, name: str = "") -> None:
        """Raise ValueError if the parameter is refused, or the value is. The error calls it by `name`."""
        name = name or self.name
        if self.refused:
            raise ValueError(f"{name} is not supported: {self.text}")
        if self.values and value not in self.values:
            raise ValueError(f"{name} must be {' or '.join(self.values)}")
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise ValueError(f"{name} must be {self.text}")
        if self.is_file and not os.access(value, os.R_OK):
            raise ValueError(f"{name} names a file that cannot be read")


def _refused(names: Mapping[str, str], text: str) -> list[Parameter]:
    return [Parameter(name, text, variable, refused=True) for name, variable in names.items()]


_SECONDS = r"[1-9]\d{0,5}"
DATABASE_PARAMETERS = {
    parameter.name: parameter
    for parameter in [
        Parameter("host", "hosts, or the folder of a socket; instead of those before the path", "PGHOST"),
        Parameter("port", "a port, or one for each host", "PGPORT", pattern=r"\d{0,5}(,\d{0,5})*"),
        Parameter("dbname", "the database; instead of the path", "PGDATABASE"),
        Parameter("user", "the user; instead of the one before the @", "PGUSER"),
        Parameter("password", "the password; instead of the one before the @", "PGPASSWORD"),
        Parameter(
            "target_session_attrs",
            "the server to choose among several hosts. Default: `read-write` if there are several, else `any`. jobproc "
            "writes, so standbys are no choice",
            "PGTARGETSESSIONATTRS",
            values=("any", "read-write", "primary"),
        ),
        Parameter(
            "connect_timeout",
            "a number of seconds, at least 1: the longest wait for one host. Default: JOBPROC_DATABASE_TIMEOUT_SECONDS,"
            " which the API divides by the number of hosts",
            "PGCONNECT_TIMEOUT",
            pattern=_SECONDS,
        ),
        Parameter(
            "application_name",
            "up to 40 ASCII characters, which replace `jobproc` in the names of connections, such as `jobproc-api`",
            "PGAPPNAME",
            pattern=r"[ -~]{1,40}",
        ),
        Parameter(
            "options",
            "options of the session, such as `-c%20work_mem=64MB`. Those that jobproc sets itself stand",
            "PGOPTIONS",
        ),
        Parameter("client_encoding", "the encoding, which is always UTF8", "PGCLIENTENCODING", pattern="(?i)utf-?8"),
        Parameter(
            "sslmode",
            "`verify-ca` and `verify-full` need a root certificate. Default: `prefer`",
            "PGSSLMODE",
            values=("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
        ),
        Parameter(
            "sslrootcert",
            "file of the root certificates. Default: `~/.postgresql/root.crt`, if it exists",
            "PGSSLROOTCERT",
            is_file=True,
        ),
        Parameter("sslcert", "file of the client's certificate", "PGSSLCERT", is_file=True),
        Parameter(
            "sslkey",
            "file of the client's key, mode 0600, or 0640 if root owns it",
            "PGSSLKEY",
            is_file=True,
        ),
        Parameter("sslpassword", "password of that key"),
        Parameter("sslcrl", "file of revoked certificates", "PGSSLCRL", is_file=True),
        Parameter(
            "sslnegotiation",
            "`direct` begins with TLS (PostgreSQL 17); it needs `sslmode=require` or stricter. Default: `postgres`",
            "PGSSLNEGOTIATION",
            values=("postgres", "direct"),
        ),
        Parameter(
            "ssl_min_protocol_version",
            "lowest version of TLS. Default: `TLSv1.2`",
            "PGSSLMINPROTOCOLVERSION",
            values=("TLSv1.2", "TLSv1.3"),
        ),
        Parameter(
            "ssl_max_protocol_version",
            "highest version of TLS",
            "PGSSLMAXPROTOCOLVERSION",
            values=("TLSv1.2", "TLSv1.3"),
        ),
        Parameter("keepalives", "`0` switches TCP keepalives off. Default: `1`", values=("0", "1")),
        Parameter(
            "keepalives_idle", "a number of seconds without data until the first. Default: `30`", pattern=_SECONDS
        ),
        Parameter("keepalives_interval", "a number of seconds between two. Default: `5`", pattern=_SECONDS),
        Parameter("keepalives_count", "a number of them without an answer. Default: `3`", pattern=_SECONDS),
        Parameter(
            "tcp_user_timeout",
            "a number of milliseconds for which sent data may stay unacknowledged. Default: the statement timeout; "
            "in the API none, because each of its statements has a time limit of its own",
            pattern=r"[1-9]\d{0,8}",
        ),
        # Values that ask for no more than both drivers do.
        Parameter(
            "channel_binding",
            "the API cannot bind a password to its TLS connection, so `require` is refused; `sslmode=verify-full` "
            "protects it too",
            "PGCHANNELBINDING",
            values=("disable", "prefer"),
        ),
        Parameter(
            "gssencmode",
            "connections are never encrypted by GSSAPI",
            "PGGSSENCMODE",
            values=("disable", "prefer"),
        ),
        Parameter("load_balance_hosts", "hosts are tried in their order", "PGLOADBALANCEHOSTS", values=("disable",)),
        Parameter("sslsni", "the host name is always sent", "PGSSLSNI", values=("1",)),
        Parameter("sslcompression", "TLS never compresses", "PGSSLCOMPRESSION", values=("0",)),
        # Not in both drivers.
        *_refused({"hostaddr": "PGHOSTADDR"}, "write the address as the host"),
        *_refused({"service": "PGSERVICE"}, "write the parameters of the service in the URL"),
        *_refused({"passfile": "PGPASSFILE"}, "write the password in the URL, or in PGPASSWORD"),
        *_refused({"fallback_application_name": ""}, "use application_name"),
        *_refused({"sslcrldir": "PGSSLCRLDIR"}, "use sslcrl"),
        *_refused({"sslcertmode": "PGSSLCERTMODE"}, "a client's certificate is sent if sslcert names one"),
        *_refused(
            {
                "requirepeer": "PGREQUIREPEER",
                "require_auth": "PGREQUIREAUTH",
                "krbsrvname": "PGKRBSRVNAME",
                "gsslib": "PGGSSLIB",
                "gssdelegation": "PGGSSDELEGATION",
            },
            "the API's driver does not know it",
        ),
        *_refused({"replication": ""}, "jobproc does not replicate"),
        # Of other drivers; libpq does not know them.
        *_refused({"database": ""}, "use dbname, or the path"),
        *_refused({"ssl": ""}, "use sslmode"),
        *_refused({"search_path": ""}, "set JOBPROC_DATABASE_SCHEMA"),
        *_refused({"pgbouncer": ""}, "set JOBPROC_DATABASE_POOLER=transaction"),
    ]
}

REDIS_PARAMETERS = {
    parameter.name: parameter
    for parameter in [
        Parameter(
            "ssl_cert_reqs",
            "whether the server's certificate is checked. Default: `required`",
            values=("required", "optional", "none"),
        ),
        Parameter(
            "ssl_check_hostname",
            "whether it must have the host's name. Default: `true`, and `false` with `ssl_cert_reqs=none`",
            values=("true", "false"),
        ),
        Parameter("ssl_ca_certs", "file of the root certificates. Default: those of the system", is_file=True),
        Parameter("ssl_certfile", "file of the client's certificate", is_file=True),
        Parameter("ssl_keyfile", "file of the client's key", is_file=True),
        *_refused({"username": "", "password": ""}, "write it before the @"),
        *_refused({"db": ""}, "write the number of the database as the path"),
        *_refused(
            {"socket_timeout": "", "socket_connect_timeout": "", "timeout": ""}, "set JOBPROC_REDIS_TIMEOUT_SECONDS"
        ),
    ]
}


def check_all(parameters: Mapping[str, str], table: Mapping[str, Parameter]) -> None:
    """Raise ValueError for the first parameter that is unknown, or refused."""
    for name, value in parameters.items():
        if name not in table:
            known = [parameter.name for parameter in table.values() if not parameter.refused]
            near = get_close_matches(name, known, 1)
            raise ValueError(f"{name} is no known parameter" + (f"; {near[0]} is near" if near else ""))
        table[name].check(value)
