"""Views of responses: queues. Made by `make generate`."""

from __future__ import annotations

from typing import Any

from jobproc.client.views.shared import BackoffView
from jobproc.client.views.view import View


class OperationDefaults(View):
    """The options of a submission that does not set its own."""

    max_attempts: int
    backoff: BackoffView
    timeout_seconds: float | None


class OperationList(View):
    """The operations that workers have registered."""

    operations: list[OperationView]


class OperationView(View):
    """An operation that jobs can be submitted for."""

    name: str
    version: int
    oldest_version: int
    queue: str
    description: str
    queues: list[str]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    defaults: OperationDefaults
    seen_at: str
    workers_alive: int
    recent: RecentUsage | None


class Percentiles(View):
    """Percentiles over recent jobs: the newest ones of the last day that have ended."""

    p50: float
    p95: float
    p99: float


class QueueDetail(View):
    """A queue with the jobs of the caller's tenant in it."""

    name: str
    paused: bool
    policy: QueuePolicyView | None
    operators_policy: QueuePolicyView | None
    links: QueueLinks
    queued: int
    running: int


class QueueLinks(View):
    """Links to a queue and to the requests about it, as paths."""

    self: str
    pause: str
    resume: str


class QueueList(View):
    """A page of queues, by name."""

    queues: list[QueueSummary]
    next: str | None


class QueuePolicyView(View):
    """A policy of a queue."""

    paused: bool
    paused_at: str | None
    concurrency: int | None
    rate: RateLimit | None
    key_concurrency: int | None
    key_rate: RateLimit | None
    events: bool
    managed: bool
    changed_at: str
    changed_by: str | None


class QueueStatsView(View):
    """The statistics of all queues."""

    queues: list[QueueView]


class QueueSummary(View):
    """A queue, with the policies that hold for the jobs of the caller's tenant."""

    name: str
    paused: bool
    policy: QueuePolicyView | None
    operators_policy: QueuePolicyView | None
    links: QueueLinks


class QueueView(View):
    """The depth, age and throughput of a queue."""

    queue: str
    queued: int
    running: int
    oldest_due_seconds: float
    workers_alive: int
    accepted_per_second: float
    succeeded_per_second: RatesView
    failed_per_second: RatesView


class RateLimit(View):
    """Jobs that may start a second: a token bucket."""

    per_second: float
    burst: float


class RatesView(View):
    """The number of jobs per second that ended, over three periods."""

    last_minute: float
    last_5_minutes: float
    last_15_minutes: float


class RecentUsage(View):
    """The resources that recent jobs used in their last attempt."""

    jobs: int
    execution_seconds: Percentiles
    cpu_seconds: Percentiles | None
    peak_memory_mebibytes: Percentiles | None


class WorkerJobView(View):
    """A job that a worker process has claimed."""

    job_id: str
    operation: str
    attempt: int
    claimed_at: str


class WorkerList(View):
    """The worker processes."""

    workers: list[WorkerView]


class WorkerView(View):
    """A worker process."""

    worker: int
    host: str
    pid: int
    alive: bool
    started_at: str
    alive_until: str
    ended_at: str | None
    busy_since: str | None
    queues: list[str]
    operations: list[str]
    held_jobs: int
    claimed_jobs: int
    jobs: list[WorkerJobView]
