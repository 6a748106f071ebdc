"""Types of settings, and the names of their environment variables."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "JOBPROC_"
UNPREFIXED = ("DATABASE_URL", "REDIS_URL")

Seconds = Annotated[float, Field(gt=0, le=86_400 * 365, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Bytes = Annotated[int, Field(ge=1, le=2**40)]
#: A password, a key, or a URL that may have one. It is never shown, it may come from a file, and no operation finds it
#: in its environment. `repr` marks it: nothing else sets that.
Secret = Annotated[str, Field(repr=False)]


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
        frozen=True,
        env_file=".env",
        env_prefix=PREFIX,
        extra="ignore",
        populate_by_name=True,
        defer_build=True,
        hide_input_in_errors=True,
    )


def name_of(field: str) -> str:
    """Return the environment variable of a field."""
    return field.upper() if field.upper() in UNPREFIXED else PREFIX + field.upper()


def is_secret(info: FieldInfo) -> bool:
    """Return True for a field of the type Secret."""
    return not info.repr
