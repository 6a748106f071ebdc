"""Settings of the change feed."""

from typing import Annotated

from pydantic import Field

from common.settings.field_types import SettingsGroup


class FeedSettings(SettingsGroup):
    """The change feed: how long, and how many, changes are kept."""

    feed_hours: Annotated[int, Field(ge=1, le=87_600)] = Field(
        72, description="Controller: time in hours for which changes of jobs in followed queues are kept for readers."
    )
    feed_max_changes: Annotated[int, Field(ge=10_000, le=1_000_000_000)] = Field(
        10_000_000,
        description="Controller: largest number of changes that are kept of a tenant, however young they are; "
        "a change takes about 100 bytes.",
    )
