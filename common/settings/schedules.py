"""Settings of schedules."""

from typing import Annotated

from pydantic import Field

from common.settings.field_types import Count, Seconds, SettingsGroup


class ScheduleSettings(SettingsGroup):
    """Schedules: their limits, their fires, and the file that declares some of them."""

    schedules_file: str = Field(
        "",
        description="Migration: file of YAML or JSON that declares schedules. Those that it no longer declares are "
        "deleted. Empty: schedules are as the API has left them.",
    )
    default_max_schedules: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        1_000, description="API: largest number of schedules of a tenant that has no quota of its own. 0: no limit."
    )
    schedule_min_interval_seconds: Annotated[float, Field(ge=0.001, le=86_400)] = Field(
        1, description="API: shortest `every_seconds` of a schedule; a shorter one is refused with 422."
    )
    schedule_max_job_bytes: Count = Field(
        65_536, description="API: largest `job` of a schedule in bytes of JSON; a larger one is refused with 422."
    )
    schedule_grace_seconds: Seconds = Field(
        60,
        description="Controller: time in seconds after which an instant of a schedule that has not fired is late; its "
        "catch-up policy then decides if it fires.",
    )
    schedules_per_transaction: Annotated[int, Field(ge=1, le=10_000)] = Field(
        500, description="Controller: largest number of schedules that fire in one transaction."
    )
    schedule_fire_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        30, description="Controller: retention of what became of the instants of schedules, in days."
    )
