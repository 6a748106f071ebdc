"""Settings of the controller."""

from typing import Annotated

from pydantic import Field

from common.settings.field_types import Count, Seconds, SettingsGroup


class ControllerSettings(SettingsGroup):
    """The tick, leadership, retention, partitions and bulk actions."""

    tick_seconds: Seconds = Field(
        1,
        description="Controller: interval in seconds at which it checks for lost leases, due jobs and strays. "
        "Worker: interval at which an idle one polls for jobs without a doorbell.",
    )
    starvation_seconds: Annotated[float, Field(ge=0, le=86_400 * 365)] = Field(
        0,
        description="Controller: time in seconds after which a due job that still waits gets priority 0. "
        "0: never, priorities are strict.",
    )
    leader_lease_seconds: Seconds = Field(
        10,
        description="Controller: duration in seconds of the leader's lease; if it is not renewed, "
        "another controller leads.",
    )
    retention_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        7, description="Controller: retention of finished jobs in days; then they are deleted."
    )
    retention_failed_days: Annotated[int, Field(ge=0, le=3_650)] = Field(
        0, description="Controller: retention of FAILED jobs in days. 0: the same as JOBPROC_RETENTION_DAYS."
    )
    retention_cancelled_days: Annotated[int, Field(ge=0, le=3_650)] = Field(
        0, description="Controller: retention of CANCELLED jobs in days. 0: the same as JOBPROC_RETENTION_DAYS."
    )
    audit_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        365, description="Controller: retention of the audit log in days, up to 30 days more for the oldest entries."
    )
    ended_api_key_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        90,
        description="Controller: days after its revocation or expiry for which an API key is listed; then it is "
        "deleted. The first key is kept: the migration would create it again.",
    )
    input_retention_days: Annotated[int, Field(ge=0, le=3_650)] = Field(
        0,
        description="Controller: days from the end of a job after which its input is deleted; its result stays. "
        "0: inputs are kept as long as their jobs.",
    )
    operation_keep_hours: Annotated[int, Field(ge=0, le=87_600)] = Field(
        24,
        description="Controller: time in hours after which it forgets an operation that no worker has known, while "
        "workers serve its queue; submissions of it are then refused. 0: never.",
    )
    feed_hours: Annotated[int, Field(ge=1, le=87_600)] = Field(
        72, description="Controller: time in hours for which changes of jobs in followed queues are kept for readers."
    )
    feed_max_changes: Annotated[int, Field(ge=10_000, le=1_000_000_000)] = Field(
        10_000_000,
        description="Controller: largest number of changes that are kept of a tenant, however young they are; "
        "a change takes about 40 bytes.",
    )
    deletion_jobs_per_second: Count = Field(
        2_000,
        description="Controller: highest rate, in jobs a second, at which retention deletes single jobs or inputs; "
        "jobs that are deleted with their whole partition do not count.",
    )
    retention_check_seconds: Seconds = Field(
        300, description="Controller: interval in seconds between two checks for data past retention."
    )
    partition_days: Annotated[int, Field(ge=1, le=366)] = Field(
        1,
        description="Days of jobs in one partition. Keep the longest retention in days, divided by this, below 35.",
    )
    partitions_ahead: Annotated[int, Field(ge=2, le=30)] = Field(
        3, description="Number of partitions that are created before they are needed."
    )
    bulk_action_step_jobs: Annotated[int, Field(ge=1, le=5_000)] = Field(
        500, description="Controller: largest number of jobs that a bulk action changes in one step, a transaction."
    )
    bulk_action_preview_seconds: Seconds = Field(
        3_600, description="Controller: time in seconds after which a bulk action that was not started is deleted."
    )
    bulk_action_keep_seconds: Seconds = Field(
        604_800,
        description="Controller: time in seconds since its last change after which a bulk action is deleted, "
        "with the records that its undo needs.",
    )
    batch_open_seconds: Seconds = Field(
        86_400, description="Controller: time in seconds from its creation after which an open batch is closed."
    )
    tenant_removal_delay_seconds: Seconds = Field(
        60,
        description="Controller: time in seconds from the request to remove a tenant to the deletion of its rows. "
        "Within it every API process has learned to refuse its clients, and has answered their requests.",
    )
    queue_count_limit: Count = Field(
        100_000,
        description="Controller: number up to which the jobs of a queue are counted for gauges; "
        "a longer queue shows this number.",
    )
    pod_deletion_cost_selector: str = Field(
        "",
        description="Controller: label selector of the worker pods, in its own namespace, whose deletion cost it "
        "writes, so that a scale-in prefers idle pods. Empty: none.",
    )
    kubernetes_timeout_seconds: Seconds = Field(
        5, description="Controller: longest wait in seconds for the Kubernetes API; then the update is retried later."
    )
