"""Settings that several processes read."""

import os
import re
from dataclasses import replace
from typing import Annotated

from pydantic import AliasChoices, Field, PrivateAttr, field_validator

from common import failpoints
from common.server_urls.database import DatabaseServer, normalized_database_url
from common.server_urls.redis_server import RedisServer, normalized_redis_url
from common.settings.field_types import PREFIX, Environment, LogFormat, Pooler, Seconds, Secret, SettingsGroup
from common.settings.secret_files import SecretFileError, SecretFiles

_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")


class SharedSettings(SettingsGroup):
    """Servers, logs, and the limits that several processes share."""

    database_url: Secret = Field(
        "postgresql://postgres@127.0.0.1:5432/postgres",
        validation_alias="DATABASE_URL",
        validate_default=True,
        description="URL of PostgreSQL: `postgresql://user:password@host:port/database`, also with several hosts, and "
        "with the parameters of docs/reference/server-urls.md. A `+driver` suffix of the scheme is ignored.",
    )
    redis_url: Secret = Field(
        "redis://127.0.0.1:6379/0",
        validation_alias="REDIS_URL",
        description="URL of Redis: `redis://` or `rediss://`, with the parameters of docs/reference/server-urls.md. "
        "Redis carries doorbells and change notifications only, "
        "so its data may be lost at any moment.",
    )
    database_password: Secret = Field(
        "",
        validation_alias=AliasChoices(f"{PREFIX}DATABASE_PASSWORD", "PGPASSWORD"),
        description="Password of PostgreSQL, with any characters, if DATABASE_URL has none. Empty: that of "
        "the variable PGPASSWORD.",
    )
    redis_password: Secret = Field("", description="Password of Redis, with any characters, if REDIS_URL has none.")
    database_pooler: Pooler = Field(
        Pooler.NONE,
        description="Connection pooler behind DATABASE_URL. `transaction`: a pooler in transaction mode, "
        "such as PgBouncer. `none`: PostgreSQL itself.",
    )
    database_schema: str = Field(
        "jobproc",
        description="Schema of PostgreSQL in which everything of this installation is, such as tables and functions. "
        "Several installations share a database if each has a schema of its own, and a Redis database of its own.",
    )
    startup_max_wait_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        60,
        description="Longest wait in seconds at the start of a process for what PostgreSQL lacks or refuses, such as "
        "the schema, a role or a right; then it exits with code 1. A migration waits as long for PostgreSQL itself.",
    )
    environment: Environment = Field(
        Environment.DEVELOPMENT, description="`development` or `production`; `production` refuses failpoints."
    )
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        "info", description="Lowest level that is logged: `debug`, `info`, `warning` or `error`."
    )
    log_format: LogFormat = Field(LogFormat.JSON, description="Log format: `json` for machines, `console` for people.")
    failpoints: str = Field(
        "",
        description="Failpoints of a test, in the form of common/failpoints.py: places at which the process dies, "
        "stops, raises or sleeps. Empty: none.",
    )
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0,
        description="TCP port of /metrics; API and controller serve /livez and /readyz there too. "
        "0: no port is opened.",
    )
    metrics_port_tries: Annotated[int, Field(ge=1, le=1_000)] = Field(
        10,
        description="Number of ports that a process tries from JOBPROC_METRICS_PORT upwards while they are taken, such "
        "as by other processes on the same machine; the event `metrics_serving` names its port. 1: a taken port stops "
        "the start.",
    )
    redis_timeout_seconds: Seconds = Field(
        2, description="Longest wait in seconds for a connection to Redis or a reply; then Redis counts as unavailable."
    )
    reconnect_max_delay_seconds: Seconds = Field(
        5,
        description="Longest delay in seconds of the exponential backoff between two attempts to reconnect to the "
        "database.",
    )
    lock_timeout_seconds: Seconds = Field(
        2,
        description="Longest wait in seconds for a lock in migrations, partition maintenance and bulk actions; "
        "then the work is retried later.",
    )
    doorbell_min_interval_milliseconds: Annotated[float, Field(ge=0, le=1_000)] = Field(
        35,
        description="Shortest interval in milliseconds between two doorbells that a process rings for one queue "
        "while many jobs arrive; a single job rings at once.",
    )
    shutdown_grace_seconds: Seconds = Field(
        25,
        description="Time in seconds for a graceful shutdown after SIGTERM or SIGHUP. Worker: running jobs may finish; "
        "then they are released. API: open requests may finish; then they are aborted.",
    )
    job_log_interval_milliseconds: Annotated[float, Field(ge=10, le=900)] = Field(
        250, description="Interval in milliseconds at which new lines of job logs are stored."
    )

    #: From which the secrets above were read; empty: from variables.
    _secret_files: SecretFiles = PrivateAttr(default_factory=SecretFiles)

    @field_validator("database_url")
    @classmethod
    def _normalize_postgresql_url(cls, value: str) -> str:
        url = normalized_database_url(value)
        DatabaseServer.parse(url, os.environ)
        return url

    @field_validator("database_password", "redis_password")
    @classmethod
    def _strip_line_break(cls, value: str) -> str:
        return value.strip("\r\n")  # of a file from which the variable was made

    @field_validator("database_schema")
    @classmethod
    def _check_schema_name(cls, value: str) -> str:
        if not _SCHEMA_NAME.fullmatch(value):
            raise ValueError("must be 1 to 40 of a-z 0-9 _, and begin with a letter or _")
        if value.startswith("pg_") or value == "information_schema":
            raise ValueError("is the name of a schema of PostgreSQL itself")
        return value

    @field_validator("redis_url")
    @classmethod
    def _normalize_redis_url(cls, value: str) -> str:
        url = normalized_redis_url(value)
        RedisServer.parse(url)
        return url

    @field_validator("failpoints")
    @classmethod
    def _arm_failpoints(cls, value: str) -> str:
        failpoints.arm(value)
        return value

    @field_validator("metrics_port", mode="before")
    @classmethod
    def _ignore_service_link(cls, value: object) -> object:
        # Kubernetes injects JOBPROC_METRICS_PORT=tcp://… for a Service named jobproc-metrics.
        return 0 if isinstance(value, str) and value.startswith("tcp://") else value

    @property
    def database_server(self) -> DatabaseServer:
        """The PostgreSQL of DATABASE_URL, and what libpq's environment variables add to it."""
        return _database_server(self.database_url, self.database_password)

    @property
    def redis_server(self) -> RedisServer:
        """The Redis of REDIS_URL."""
        return _redis_server(self.redis_url, self.redis_password)

    def current_database_server(self) -> DatabaseServer:
        """Return the PostgreSQL with the user and the password of now: their files may have changed.

        Raises SecretFileError.
        """
        server = self.database_server
        if not self._secret_files.paths:
            return server
        url, password = (self._secret_files.read(secret) for secret in ("database_url", "database_password"))
        try:
            now = _database_server(
                self.database_url if url is None else normalized_database_url(url),
                self.database_password if password is None else password,
            )
        except ValueError as error:
            raise SecretFileError(f"DATABASE_URL_FILE: {error}") from None
        return replace(server, user=now.user, password=now.password)

    def current_redis_login(self) -> tuple[str | None, str | None]:
        """Return the user and the password of Redis of now: their files may have changed. Raises SecretFileError."""
        url, password = (self._secret_files.read(secret) for secret in ("redis_url", "redis_password"))
        try:
            now = _redis_server(
                self.redis_url if url is None else normalized_redis_url(url),
                self.redis_password if password is None else password,
            )
        except ValueError as error:
            raise SecretFileError(f"REDIS_URL_FILE: {error}") from None
        return now.username, now.password


def _database_server(url: str, password: str) -> DatabaseServer:
    return DatabaseServer.parse(url, {**os.environ, "PGPASSWORD": password})


def _redis_server(url: str, password: str) -> RedisServer:
    server = RedisServer.parse(url)
    return server if server.password else replace(server, password=password or None)
