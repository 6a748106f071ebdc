"""Obstacles between a process and its schema, a sentence each: no server, a refused login, no schema, an older one.

Knows no driver: each has its loop that asks, `startup.py` and `api_startup.py`.
"""

import re
import time
from dataclasses import dataclass

from common.domain.errors import StartupError
from common.settings import PREFIX, Settings
from common.telemetry import logs

log = logs.get("startup")
#: Between two looks at the database.
PAUSE_S = 0.5
#: Classes of SQLSTATE of what stays until somebody changes a name, a password or a right: logins (28), databases (3D)
#: and schemas (3F) that do not exist, rights and names (42).
_REFUSALS = frozenset({"28", "3D", "3F", "42"})
_OF_LOGINS = frozenset({"08", "28", "3D", "53", "57"})
# psycopg2 gives no SQLSTATE of a failed connection. A message of the server has its severity and two spaces before it,
# one of libpq has not.
_OF_SERVER = re.compile(r"(?:^| failed: )(?!DETAIL|HINT)[^\W\d_]+:  (.*)", re.MULTILINE)
_OF_LIBPQ = re.compile(r" failed: (.*)")  # after the place, which the sentence names itself
# Of TLS: a certificate, a name or a version that does not fit stays until somebody changes it.
_OF_TLS = re.compile(
    r"(SSL error: )?(\[SSL: \w+\] )?(?P<reason>.*(certificate|unknown ca|support SSL|SSL upgrade|protocol version"
    r"|handshake failure).*?)( \(_ssl\.c:\d+\))?",
    re.IGNORECASE,
)
_PASSES = re.compile(
    r"starting up|shutting down|recovery mode|too many clients|connection slots|terminating connection"
    r"|server login|query_wait_timeout|connect failed|no more connections"
)
# Of the catalogue, which anyone may read. The name is a checked setting.
_STATE = """
SELECT quote_ident(current_user), quote_ident(current_database()), n.oid IS NOT NULL,
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid),
       (SELECT count(*) = 3 FROM pg_class c
        WHERE c.relnamespace = n.oid AND c.relname IN ('alembic_version', 'live', 'job_states')),
       coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AND coalesce((
           SELECT has_table_privilege(c.oid, 'SELECT')
           FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'alembic_version'), false)
FROM (SELECT) one LEFT JOIN pg_namespace n ON n.nspname = '{schema}'
"""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a process cannot work yet."""

    sentence: str
    is_outage: bool = False  #: PostgreSQL is away, as it may be at any other time


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The schema, as the catalogue of a database has it."""

    role: str
    database: str
    exists: bool
    has_tables: bool
    is_of_jobproc: bool
    is_readable: bool

    @staticmethod
    def query(settings: Settings) -> str:
        """Return the statement whose row this is."""
        return _STATE.format(schema=settings.database_schema)

    def obstacle(self, schema: str) -> Obstacle | None:
        """Return what keeps the role from reading the version of the schema."""
        migrate = "run python -m common.migrate"
        if not self.exists or not self.has_tables:
            return Obstacle(f"the database {self.database} has no schema {schema}, or an empty one: {migrate}")
        if not self.is_of_jobproc:
            return Obstacle(foreign(schema, self.database))
        if not self.is_readable:
            return Obstacle(
                f"the role {self.role} has no rights in the schema {schema} of the database {self.database}: "
                f"{migrate} with {PREFIX}DATABASE_ROLES, which grants them"
            )
        return None


def foreign(schema: str, database: str) -> str:
    """Return the sentence about a schema with tables of another program."""
    return (
        f"the schema {schema} of the database {database} has tables that are not of jobproc: "
        f"set {PREFIX}DATABASE_SCHEMA to a schema of its own"
    )


def version_query(settings: Settings) -> str:
    """Return the statement whose row is the revision of the schema."""
    return f'SELECT max(version_num) FROM "{settings.database_schema}".alembic_version'


def of_version(revision: str | None, needed: str, settings: Settings) -> Obstacle | None:
    """Return the obstacle of an older revision. A newer one is none: old code runs on a newer schema."""
    if revision is not None and revision >= needed:
        return None
    return Obstacle(
        f"the schema {settings.database_schema} is at {revision or 'no version'}, and this version needs {needed}: "
        "run python -m common.migrate"
    )


def of_error(error: BaseException, settings: Settings) -> Obstacle:
    """Return the obstacle of an error of a driver, or of the network."""
    server = settings.database_server
    place = ", ".join(host if host.startswith("/") else f"{host}:{port}" for host, port in server.hosts)
    text = str(getattr(error, "strerror", None) or error).strip()
    sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if sqlstate:
        does = "refuses the connection" if sqlstate[:2] in _OF_LOGINS else "refuses a statement"
        first_line, is_outage = text.partition("\n")[0], sqlstate[:2] not in _REFUSALS
        return Obstacle(f"PostgreSQL at {place} {does}: {first_line}", is_outage=is_outage)
    if reason := "; ".join(dict.fromkeys(_OF_SERVER.findall(text))):
        is_outage = _PASSES.search(reason) is not None
        return Obstacle(f"PostgreSQL at {place} refuses the connection: {reason}", is_outage=is_outage)
    reason = "; ".join(dict.fromkeys(_OF_LIBPQ.findall(text))) or " ".join(text.split()) or "no answer in time"
    if of_tls := _OF_TLS.fullmatch(reason):
        return Obstacle(f"there is no TLS with PostgreSQL at {place}: {of_tls['reason'].rstrip('.')}")
    return Obstacle(f"no PostgreSQL answers at {place}: {reason}", is_outage=True)


class StartupWait:
    """The wait of one process at its start. It says each obstacle once, and ends the process if one stays too long."""

    def __init__(self, settings: Settings, *, limit_s: float | None = None) -> None:
        """`limit_s`: for any obstacle; None: that of the settings, and an outage has none, as at any other time."""
        self._schema = settings.database_schema
        self._bounds_outages = limit_s is not None
        self._limit_s = settings.startup_max_wait_seconds if limit_s is None else limit_s
        self._obstacle: Obstacle | None = None
        self._until: float | None = None  #: the end of the wait; None: it has none yet

    def is_over(self, obstacle: Obstacle | None) -> bool:
        """Return True if there is no obstacle. Raises StartupError if there has been one for too long."""
        if obstacle is None:
            log.info("schema_ready", schema=self._schema)
            return True
        now = time.monotonic()
        if obstacle.is_outage and not self._bounds_outages:
            self._until = None
        elif self._until is None:
            self._until = now + self._limit_s
        if self._until is not None and now >= self._until:
            raise StartupError(f"{obstacle.sentence}; waited for {self._limit_s:g} s")
        if obstacle != self._obstacle:
            self._obstacle = obstacle
            left_s = None if self._until is None else round(self._until - now, 1)
            log.warning("startup_waiting", reason=obstacle.sentence, ends_after_s=left_s)
        return False
