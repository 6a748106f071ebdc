"""Settings of rate limits and of the quotas of tenants."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from common.settings.field_types import SettingsGroup

PerMinute = Annotated[int, Field(ge=0, le=100_000_000)]
Quota = Annotated[int, Field(ge=0, le=10_000_000_000)]


class WithoutRedis(StrEnum):
    """The handling of rate limits while Redis does not answer."""

    SHARE = "share"
    REFUSE = "refuse"


class RateLimitSettings(SettingsGroup):
    """Rate limits of requests, and the quotas of tenants that have none of their own."""

    max_failed_authentications_per_minute: PerMinute = Field(
        60,
        description="API: largest number of requests a minute from one address, of IPv6 from a /64 network, that do "
        "not authenticate. Beyond it wrong credentials from that address get 429 instead of 401, without a look into "
        "the database. 0: no limit.",
    )
    max_requests_per_minute_per_address: PerMinute = Field(
        0,
        description="API: largest number of requests a minute from one address, of IPv6 from a /64 network, counted "
        "before they authenticate; more get 429. 0: no limit.",
    )
    max_requests_per_minute_per_tenant: PerMinute = Field(
        0, description="API: largest number of requests a minute of one tenant; more get 429. 0: no limit."
    )
    max_requests_per_minute_per_key: PerMinute = Field(
        0,
        description="API: largest number of requests a minute with one API key, or of one subject of tokens; more get "
        "429. 0: no limit.",
    )
    rate_limits_without_redis: WithoutRedis = Field(
        WithoutRedis.SHARE,
        description="API: while Redis does not answer, `share`: each process admits its share of each rate limit and "
        "of submissions a minute, which is the limit divided by the API processes that were seen last. `refuse`: what "
        "has such a limit gets 429.",
    )
    default_max_waiting_jobs: Quota = Field(
        0,
        description="API, controller: largest number of unfinished jobs that do not run, of a tenant without a quota "
        "of its own; more are refused with 429. 0: no limit.",
    )
    default_max_running_jobs: Quota = Field(
        0,
        description="API, controller, worker: largest number of running jobs of a tenant without a quota of its own; "
        "more wait. 0: no limit.",
    )
    default_max_jobs_per_minute: PerMinute = Field(
        0,
        description="API, controller: largest number of jobs that a tenant without a quota of its own may submit a "
        "minute; more are refused with 429. As many may be those of its schedules. 0: no limit.",
    )
    default_max_stored_bytes: Annotated[int, Field(ge=0, le=2**53)] = Field(
        0,
        description="API: largest total of the inputs and metadata, in bytes of JSON, that are stored for "
        "a tenant without a quota of its own; more are refused with 429. 0: no limit.",
    )
