"""The settings of every process: all groups together, read from the environment, with the rules between them."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Self

from pydantic import AliasChoices, ValidationError, model_validator
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict

from common.domain.errors import StartupError
from common.server_urls import masked_url
from common.settings.access.authentication import AccessSettings
from common.settings.access.console_sessions import ConsoleSessionSettings
from common.settings.access.oidc import OidcSettings
from common.settings.access.oidc_sign_in import OidcSignInSettings
from common.settings.access.rate_limits import RateLimitSettings
from common.settings.api import ApiSettings
from common.settings.console.followed_lists import FollowedListSettings
from common.settings.console.links import LinkSettings
from common.settings.controller import ControllerSettings
from common.settings.field_types import PREFIX, UNPREFIXED, Environment, is_secret, name_of
from common.settings.migration import MigrationSettings
from common.settings.renamed import RENAMED
from common.settings.requests import RequestSettings
from common.settings.schedules import ScheduleSettings
from common.settings.secret_files import SUFFIX, SecretFileError, SecretFiles
from common.settings.shared import SharedSettings
from common.settings.webhooks.deliveries import WebhookDeliverySettings
from common.settings.webhooks.receivers import WebhookReceiverSettings
from common.settings.worker import WorkerSettings

MISSPELLING_SIMILARITY = 0.85  # likeness of two names, 0 to 1, from which one counts as a misspelling of the other
# Kubernetes injects such variables for a Service named jobproc-…: they are neither settings nor misspelt ones.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$")


# The fields of the last base come first.
class Settings(
    MigrationSettings,
    WebhookDeliverySettings,
    WebhookReceiverSettings,
    ScheduleSettings,
    ControllerSettings,
    WorkerSettings,
    OidcSignInSettings,
    OidcSettings,
    ConsoleSessionSettings,
    RateLimitSettings,
    AccessSettings,
    LinkSettings,
    FollowedListSettings,
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
        if bool(self.tls_certificate_file) != bool(self.tls_key_file):
            problems.append(f"{PREFIX}TLS_CERTIFICATE_FILE and {PREFIX}TLS_KEY_FILE must be given together")
        if self.tls_client_ca_file and not self.tls_certificate_file:
            problems.append(f"{PREFIX}TLS_CLIENT_CA_FILE needs {PREFIX}TLS_CERTIFICATE_FILE")
        if self.failpoints and self.environment is Environment.PRODUCTION:
            problems.append(f"{PREFIX}FAILPOINTS is for tests; {PREFIX}ENVIRONMENT is production")
        problems += self.oidc_problems() + self.oidc_sign_in_problems(self.oidc_issuer)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings. Raises StartupError, which lists every problem."""
        secrets = _secret_fields()
        names = {name_of(field) for field in cls.model_fields} | {name_of(field) + SUFFIX for field in secrets}
        problems = [
            f"{name}: no such setting; {similar} is near" for name in environ if (similar := _misspelt(name, names))
        ]
        problems += [
            f"{PREFIX}{old}: is called {PREFIX}{new} now" for old, new in RENAMED.items() if PREFIX + old in environ
        ]
        files, contents = SecretFiles(), dict[str, Any]()
        try:
            variables = {**DotEnvSettingsSource(cls).env_vars, **EnvSettingsSource(cls).env_vars}
            files = SecretFiles.named_in(variables, secrets)
        except SecretFileError as error:
            problems.append(str(error))
        for field in files.paths:
            try:
                contents[field] = files.read(field) or ""
            except SecretFileError as error:
                problems.append(str(error))
        try:
            settings = cls(**contents)
        except ValidationError as error:
            for detail in error.errors(include_input=False):
                field = str(detail["loc"][0]) if detail["loc"] else ""
                name = field if field in UNPREFIXED else name_of(field) if field else "settings"
                name += SUFFIX if field.lower() in contents else ""
                problems.append(f"{name}: {detail['msg'].removeprefix('Value error, ')}")
        if problems:
            raise StartupError("bad settings: " + "; ".join(problems) + " (docs/reference/settings.md)")
        settings._secret_files = files
        return settings

    def masked(self) -> dict[str, str]:
        """Return the settings that differ from their defaults, with passwords masked, for the log."""
        shown = {"database_url": masked_url(self.database_url), "redis_url": masked_url(self.redis_url)}
        for name, field in type(self).model_fields.items():
            if name not in shown and getattr(self, name) != field.default:
                shown[name] = "***" if is_secret(field) else str(getattr(self, name))
        return shown


def secret_variables() -> frozenset[str]:
    """Return the names of all variables that have a secret."""
    return frozenset().union(*_secret_fields().values())


def _secret_fields() -> dict[str, frozenset[str]]:
    """Return the secret fields, each with the variables that it is read from."""
    found = {}
    for field, info in Settings.model_fields.items():
        if is_secret(info):
            alias = info.validation_alias
            others = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
            found[field] = frozenset({name_of(field), *others})
    return found


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
