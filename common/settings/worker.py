"""Settings of workers."""

from typing import Annotated

from pydantic import Field

from common.settings.field_types import Bytes, Count, Seconds, Secret, SettingsGroup


class WorkerSettings(SettingsGroup):
    """Leases, batches, limits of attempts, and the health check of a worker."""

    lease_seconds: Seconds = Field(
        30,
        description="Worker: duration in seconds of a lease. A process whose lease is not renewed for so long "
        "loses its jobs, which are rescued.",
    )
    heartbeat_seconds: Seconds = Field(
        5, description="Worker: interval in seconds between two renewals of the leases; at most half of a lease."
    )
    supervisor_interval_milliseconds: Annotated[float, Field(ge=10, le=5_000)] = Field(
        100,
        description="Worker: interval in milliseconds at which the supervisor checks time limits and crashes.",
    )
    batch_target_milliseconds: Annotated[float, Field(ge=1, le=10_000)] = Field(
        50, description="Worker: target duration in milliseconds of the batch of jobs that one claim takes."
    )
    max_claim_jobs: Annotated[int, Field(ge=1, le=1_000)] = Field(
        400, description="Worker: largest number of jobs in one claim."
    )
    fair_share_look_milliseconds: Annotated[float, Field(ge=1, le=10_000)] = Field(
        50,
        description="Worker: shortest interval in milliseconds at which a process looks which tenants have waiting "
        "jobs in a queue, while its claims come back full. Irrelevant while there is one tenant.",
    )
    queue_time_slice_seconds: Seconds = Field(
        1,
        description="Worker: time slice in seconds that a process gives to one queue; "
        "then it serves the next queue whose doorbell has rung.",
    )
    batch_max_seconds: Seconds = Field(
        1,
        description="Worker: longest duration in seconds of a batch; then the process stores the results that it has "
        "and releases the jobs that have not begun.",
    )
    empty_claims_per_second: Annotated[float, Field(ge=5, le=1_000)] = Field(
        20,
        description="Worker: number of claims a second that its processes together make for doorbells of a queue "
        "while these find no job. A second's worth may come at once; then the processes wait in turn.",
    )
    async_concurrency: Annotated[int, Field(ge=1, le=1_000)] = Field(
        100, description="Worker: largest number of jobs of `async def` operations that one process runs concurrently."
    )
    event_loop_block_timeout_seconds: Seconds = Field(
        30,
        description="Worker: longest time in seconds for which an `async def` operation may block the event loop; "
        "then its process is killed.",
    )
    max_result_bytes: Count = Field(
        1_048_576,
        description="Worker: largest result in bytes of JSON; a larger one fails the job with `result_too_large`.",
    )
    max_parent_results_bytes: Bytes = Field(
        16_777_216,
        description="Worker: largest results of the parents of one job together, in bytes of JSON; an attempt that "
        "reads larger ones fails with `ParentResultsTooLarge`, without a retry.",
    )
    max_added_jobs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        10_000,
        description="Worker: largest number of jobs that one attempt adds to its workflow.",
    )
    max_crashes: Annotated[int, Field(ge=1, le=1_000)] = Field(
        3,
        description="Worker and controller: number of crashes of its process at which a job ends FAILED "
        "with `worker_lost`.",
    )
    operation_log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        "info",
        description="Worker: lowest level of the lines that operations log: `debug`, `info`, `warning` or `error`. "
        "Printed lines are `info`.",
    )
    operation_log_lines_per_second: Count = Field(
        1_000,
        description="Worker: largest number of lines that an attempt logs in a second; further ones are dropped, and "
        "their number is logged.",
    )
    max_log_line_characters: Annotated[int, Field(ge=10, le=100_000)] = Field(
        4_000,
        description="Worker: longest line, and longest traceback of a line, that an operation logs, in characters; the "
        "middle of a longer one is cut out.",
    )
    job_log_bytes: Annotated[int, Field(ge=0, le=16_777_216)] = Field(
        65_536,
        description="Worker: bytes of JSON of the last lines of each attempt that are stored with its job. 0: none.",
    )
    job_log_buffer_bytes: Annotated[int, Field(ge=65_536, le=268_435_456)] = Field(
        1_048_576,
        description="Worker: memory in bytes of a process for lines that are not stored yet, as while the database is "
        "away; what finds no room is not stored.",
    )
    max_error_characters: Count = Field(
        4_000, description="Worker: longest stored error text in characters; a longer one is truncated."
    )
    max_traceback_characters: Annotated[int, Field(ge=0, le=100_000)] = Field(
        8_000,
        description="Worker: longest stored traceback of a failed attempt in characters; a longer one is cut in the "
        "middle. 0: none is stored.",
    )
    failure_log_lines_per_second: Annotated[int, Field(ge=0, le=100_000)] = Field(
        10,
        description="Worker and controller: number of lines a second that a process logs of each of the events "
        "`attempt_failed` and `job_failed`; further failures are counted in `failures_not_logged`. 0: none is logged.",
    )
    job_log_summary: bool = Field(
        False,
        description="Worker: whether each job that one of its attempts ends is logged, one line a job "
        "(`job_finished`).",
    )
    cancel_check_seconds: Seconds = Field(
        1,
        description="Worker: interval in seconds at which a running job is checked for a cancel request; "
        "the first check follows after the same time.",
    )
    cancel_grace_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        10,
        description="Worker: time in seconds for a running job to stop after a cancel request; "
        "then its process is killed.",
    )
    process_start_timeout_seconds: Seconds = Field(
        300, description="Worker: time in seconds for the start hooks of a process; then it ends."
    )
    process_restart_pause_seconds: Annotated[float, Field(ge=0, le=3_600)] = Field(
        5, description="Worker: pause in seconds before a process whose start hooks have failed is replaced."
    )
    process_stop_timeout_seconds: Seconds = Field(
        5,
        description="Worker: time in seconds for the stop hooks of a process, within the shutdown grace; then it ends.",
    )
    child_process_grace_seconds: Annotated[float, Field(ge=0, le=3_600)] = Field(
        2,
        description="Worker: time in seconds for the processes that an operation has started to end after SIGTERM, "
        "when their attempt has ended; then they are killed.",
    )
    progress_min_interval_seconds: Seconds = Field(
        1, description="Worker: shortest interval in seconds between two stored progress reports of a job."
    )
    statement_timeout_seconds: Seconds = Field(
        30, description="Worker and controller: longest duration of a statement in seconds; then PostgreSQL aborts it."
    )
    api_url: Annotated[str, Field(pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$")] = Field(
        "",
        description="Worker: URL of the API, such as `http://127.0.0.1:8000`, to which operations submit further jobs. "
        "Empty: they cannot.",
    )
    api_key: Annotated[Secret, Field(pattern="^[!-~]*$", max_length=8_192)] = Field(
        "",
        description="Worker: API key, with the scope `jobs:write`, with which operations submit further jobs. Empty: "
        "none; they can submit only while the authentication of the API is off.",
    )
    api_ca_file: str = Field(
        "",
        description="Worker: file with the certificates (PEM) of the authorities that may certify the API. Empty, or a "
        "file that is missing or has no content: those of the system.",
    )
    api_timeout_seconds: Seconds = Field(
        10, description="Worker: longest wait in seconds for the API when an operation submits a further job."
    )
    health_file: str = Field(
        "", description="Worker: file to which its health is written for `python -m worker.health`. Empty: none."
    )
    stalled_consumer_seconds: Seconds = Field(
        30,
        description="Worker: time in seconds after which it is unhealthy, if due jobs wait in its queues and a process "
        "is idle, but none claims.",
    )
    pod_name: str = Field(
        "",
        description="Worker: name of its pod, by which the controller writes its deletion cost. "
        "Empty: the name of the host.",
    )
