"""The environment variables of settings, with their defaults and descriptions."""

from collections.abc import Iterable

from pydantic.fields import FieldInfo

from common.command_line import Variable
from common.settings.access.authentication import AccessSettings
from common.settings.access.console_sessions import ConsoleSessionSettings
from common.settings.access.oidc import OidcSettings
from common.settings.access.oidc_sign_in import OidcSignInSettings
from common.settings.access.rate_limits import RateLimitSettings
from common.settings.api import ApiSettings
from common.settings.console.followed_lists import FollowedListSettings
from common.settings.console.links import LinkSettings
from common.settings.controller import ControllerSettings
from common.settings.field_types import SettingsGroup, is_secret, name_of
from common.settings.migration import MigrationSettings
from common.settings.process_settings import Settings
from common.settings.requests import RequestSettings
from common.settings.secret_files import SUFFIX
from common.settings.shared import SharedSettings
from common.settings.worker import WorkerSettings

#: By process: the groups that it reads, and the names of single settings of other groups.
_READ: dict[str, tuple[tuple[type[SettingsGroup], ...], tuple[str, ...]]] = {
    "api": (
        (
            *(RequestSettings, ApiSettings, FollowedListSettings, LinkSettings, AccessSettings, ConsoleSessionSettings),
            *(OidcSettings, OidcSignInSettings, RateLimitSettings, SharedSettings),
        ),
        (
            *("partition_days", "partitions_ahead", "queue_count_limit"),
            *("default_max_schedules", "schedule_min_interval_seconds", "schedule_max_job_bytes"),
            *("webhook_encryption_key", "default_max_webhooks", "webhook_schemes", "webhook_ports", "webhook_hosts"),
            *("webhook_private_hosts", "webhook_max_attempts", "webhook_rotation_overlap_seconds"),
        ),
    ),
    "worker": (
        (WorkerSettings, SharedSettings),
        (
            *("tick_seconds", "database_timeout_seconds", "default_max_running_jobs"),
            *("webhook_encryption_key", "webhook_schemes", "webhook_ports", "webhook_hosts", "webhook_private_hosts"),
            *("webhook_private_networks", "webhook_ca_file", "webhook_timeout_seconds", "webhook_max_response_bytes"),
            *("webhook_response_characters", "webhook_max_body_bytes", "webhook_endpoint_concurrency"),
            *("webhook_max_wait_seconds", "webhook_circuit_failures", "webhook_circuit_open_seconds"),
            *("webhook_circuit_max_open_seconds", "webhook_disable_after_seconds", "webhook_give_up_seconds"),
        ),
    ),
    "controller": (
        (ControllerSettings, SharedSettings),
        (
            "max_clock_skew_seconds",
            "max_crashes",
            "statement_timeout_seconds",
            "lease_seconds",
            "database_timeout_seconds",
            "default_max_waiting_jobs",
            "default_max_running_jobs",
            "default_max_jobs_per_minute",
            *("schedule_grace_seconds", "schedules_per_transaction", "schedule_fire_days"),
        ),
    ),
    "migrate": (
        (MigrationSettings, SharedSettings),
        (
            *("partition_days", "partitions_ahead", "schedules_file"),
            *("max_body_bytes", "max_metadata_bytes", "max_attempts", "max_timeout_seconds", "max_delay_days"),
            "idempotency_seconds",
        ),
    ),
}


def all_variables() -> list[Variable]:
    """Return every setting, in the order of the reference."""
    return _described(Settings.model_fields.items())


def variables_of(process: str) -> list[Variable]:
    """Return the settings that `api`, `worker`, `controller` or `migrate` reads, in the order of the reference."""
    groups, others = _READ[process]
    read = {field for group in groups for field in group.__annotations__} | set(others)
    return _described((field, info) for field, info in Settings.model_fields.items() if field in read)


def _described(fields: Iterable[tuple[str, FieldInfo]]) -> list[Variable]:
    return [
        Variable(name_of(field), str(getattr(info.default, "value", info.default)), _meaning(field, info))
        for field, info in fields
    ]


def _meaning(field: str, info: FieldInfo) -> str:
    from_file = f" Or `{name_of(field)}{SUFFIX}`, the name of a file with it." if is_secret(info) else ""
    return f"{info.description or ''}{from_file}"
