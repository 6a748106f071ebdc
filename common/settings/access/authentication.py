"""Settings of who may use the API."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from common.settings.field_types import Count, Seconds, SettingsGroup


class Authentication(StrEnum):
    """The authentication of requests."""

    REQUIRED = "required"
    OFF = "off"


class AccessSettings(SettingsGroup):
    """Authentication, and the limits of callers."""

    authentication: Authentication = Field(
        Authentication.REQUIRED,
        description="API: `required`: each request needs an API key or a token with the scope of its route. `off`: "
        "every caller may do everything; the API then listens on loopback addresses alone, unless "
        "JOBPROC_UNAUTHENTICATED_NETWORK is true.",
    )
    unauthenticated_network: bool = Field(
        False,
        description="API: with JOBPROC_AUTHENTICATION=off, listen on other addresses than loopback too: every client "
        "that reaches them may do everything.",
    )
    key_refresh_seconds: Annotated[float, Field(ge=0.1, le=4)] = Field(
        2,
        description="API: interval in seconds at which a process that is called reads the API keys and tenants that "
        "have changed. A revoked key is refused a second later at the most.",
    )
    key_outage_seconds: Seconds = Field(
        300,
        description="API: time in seconds for which a process goes on with the API keys that it knows while the "
        "database is away; then requests get 503.",
    )
    max_tenants: Count = Field(
        10_000,
        description="API: largest number of tenants; more are refused with 409. Each process keeps all in memory.",
    )
    max_api_keys_per_tenant: Count = Field(
        1_000, description="API: largest number of valid API keys of one tenant; more are refused with 409."
    )
