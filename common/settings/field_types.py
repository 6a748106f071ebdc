"""Types of settings, and the names of their environment variables."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "JOBPROC_"
UNPREFIXED = ("DATABASE_URL", "REDIS_URL")

Seconds = Annotated[float, Field(gt=0, le=86_400 * 365, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Bytes = Annotated[int, Field(ge=1, le=2**40)]


class Environment(StrEnum):
    """The place where a process runs; production refuses failpoints."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """The form of a log line."""

    JSON = "json"
    CONSOLE = "console"


class Pooler(StrEnum):
    """A connection pooler between the processes and PostgreSQL."""

    NONE = "none"
    TRANSACTION = "transaction"


class SettingsGroup(BaseSettings):
    """Settings of one process, as a base of Settings. A description is the row of the generated reference."""

    # Only Settings is ever instantiated: without `defer_build` each group would have a validator in memory too.
    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_prefix=PREFIX, extra="ignore", populate_by_name=True, defer_build=True
    )


def name_of(field: str) -> str:
    """Return the environment variable of a field."""
    return field.upper() if field.upper() in UNPREFIXED else PREFIX + field.upper()
