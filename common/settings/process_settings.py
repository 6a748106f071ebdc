"""The settings of every process: all groups together, read from the environment, with the rules between them."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Self

from pydantic import ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from common.domain.errors import StartupError
from common.server_urls import masked_url
from common.settings.access import AccessSettings
from common.settings.api import ApiSettings
from common.settings.controller import ControllerSettings
from common.settings.field_types import PREFIX, UNPREFIXED, Environment, name_of
from common.settings.migration import MigrationSettings
from common.settings.rate_limits import RateLimitSettings
from common.settings.renamed import RENAMED
from common.settings.requests import RequestSettings
from common.settings.shared import SharedSettings
from common.settings.worker import WorkerSettings

MISSPELLING_SIMILARITY = 0.85  # likeness of two names, 0 to 1, from which one counts as a misspelling of the other
# Kubernetes injects such variables for a Service named jobproc-…: they are neither settings nor misspelt ones.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$")


# The fields of the last base come first.
class Settings(
    MigrationSettings,
    ControllerSettings,
    WorkerSettings,
    RateLimitSettings,
    AccessSettings,
    ApiSettings,
    RequestSettings,
    SharedSettings,
):
    """All settings. A description is the row of the generated reference."""

    model_config = SettingsConfigDict(defer_build=False)

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problems = []
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            problems.append(f"{PREFIX}HEARTBEAT_SECONDS must be at most half of {PREFIX}LEASE_SECONDS")
        if self.keepalive_drain_seconds > self.shutdown_grace_seconds:
            problems.append(f"{PREFIX}KEEPALIVE_DRAIN_SECONDS must be at most {PREFIX}SHUTDOWN_GRACE_SECONDS")
        if self.failpoints and self.environment is Environment.PRODUCTION:
            problems.append(f"{PREFIX}FAILPOINTS is for tests; {PREFIX}ENVIRONMENT is production")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings. Raises StartupError, which lists every problem."""
        names = {name_of(field) for field in cls.model_fields}
        problems = [
            f"{name}: no such setting; {similar} is near" for name in environ if (similar := _misspelt(name, names))
        ]
        problems += [
            f"{PREFIX}{old}: is called {PREFIX}{new} now" for old, new in RENAMED.items() if PREFIX + old in environ
        ]
        try:
            settings = cls()
        except ValidationError as error:
            for detail in error.errors():
                field = str(detail["loc"][0]) if detail["loc"] else ""
                name = field if field in UNPREFIXED else name_of(field) if field else "settings"
                problems.append(f"{name}: {detail['msg'].removeprefix('Value error, ')}")
        if problems:
            raise StartupError("bad settings: " + "; ".join(problems) + " (docs/reference/settings.md)")
        return settings

    def masked(self) -> dict[str, str]:
        """Return the settings that differ from their defaults, with passwords masked, for the log."""
        shown = {"database_url": masked_url(self.database_url), "redis_url": masked_url(self.redis_url)}
        for name, field in type(self).model_fields.items():
            if name not in shown and getattr(self, name) != field.default:
                shown[name] = "***" if _is_secret(name) else str(getattr(self, name))
        return shown


def _is_secret(field: str) -> bool:
    return field in ("cursor_key", "first_api_key") or field.endswith("_password")


def _misspelt(name: str, names: set[str]) -> str | None:
    """Return the setting of which a variable is a misspelling; None: it is none, and other variables are ignored."""
    if (
        not name.startswith(PREFIX)
        or name in names
        or name.removeprefix(PREFIX) in RENAMED
        or _SERVICE_LINK.search(name)
    ):
        return None
    return next(iter(get_close_matches(name, names, 1, MISSPELLING_SIMILARITY)), None)
