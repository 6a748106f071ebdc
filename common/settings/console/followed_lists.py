"""Settings of lists that clients follow."""

from typing import Annotated

from pydantic import Field

from common.settings.field_types import Count, SettingsGroup


class FollowedListSettings(SettingsGroup):
    """Limits of the lists that clients of an API process follow by GET /jobs/events."""

    list_stream_max_lists: Count = Field(
        100,
        description="API: largest number of lists, with different filters, orders or pages, that clients of one "
        "process follow at the same time; more are refused with 503. One task reads them, one after the other.",
    )
    list_stream_max_jobs: Annotated[int, Field(ge=200, le=1_000_000)] = Field(
        20_000,
        description="API: largest number of jobs on the pages that clients of one process follow, each of which is "
        "read once in JOBPROC_WAIT_POLL_SECONDS; more are refused with 503.",
    )
    list_stream_max_newer_jobs: Annotated[int, Field(ge=1, le=1_000)] = Field(
        100,
        description="API: largest number of jobs that are counted as newer than a followed page; then there are more.",
    )
