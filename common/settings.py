"""The settings of every process: typed, frozen, read once from the environment and passed in.

DATABASE_URL and REDIS_URL keep their well-known names; every other one is JOBPROC_ and carries its unit.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from common import failpoints
from common.domain.errors import StartupError
from common.server_urls import checked_hosts, masked_url

PREFIX = "JOBPROC_"
MISSPELLING_SIMILARITY = 0.85  # likeness of two names, 0 to 1, from which one is a misspelling of the other
_UNPREFIXED = ("DATABASE_URL", "REDIS_URL")
# What Kubernetes injects for a Service named jobproc-…: not settings, and not misspelt ones either.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$")

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")

Seconds = Annotated[float, Field(gt=0, le=86_400 * 365, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


class Environment(StrEnum):
    """Where it runs; production refuses what only tests need."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """How a log line looks."""

    JSON = "json"
    CONSOLE = "console"


class Pooler(StrEnum):
    """What is between the processes and PostgreSQL."""

    NONE = "none"
    TRANSACTION = "transaction"


class Settings(BaseSettings):
    """Everything that can be set. A description is the row of the generated reference."""

    model_config = SettingsConfigDict(frozen=True, env_file=".env", env_prefix=PREFIX, extra="ignore", populate_by_name=True)

    database_url: str = Field(
        "postgresql://postgres@127.0.0.1:5432/postgres",
        validation_alias="DATABASE_URL",
        description="PostgreSQL, `postgresql://user:password@host:port/database`; a `+driver` suffix is ignored.",
    )
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", validation_alias="REDIS_URL", description="Redis, `redis://` or `rediss://`; doorbells only, may be lost at any moment."
    )
    database_pooler: Pooler = Field(
        Pooler.NONE, description="`transaction`: DATABASE_URL is a pooler that lends a connection for a transaction, such as PgBouncer in that mode."
    )
    environment: Environment = Field(Environment.DEVELOPMENT, description="`production` refuses failpoints.")
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        "info", description="Lowest level that is logged: debug, info, warning, error."
    )
    log_format: LogFormat = Field(LogFormat.JSON, description="`json` for machines, `console` for people.")
    failpoints: str = Field("", description="Places where a test makes the process fail; see common/failpoints.py.")

    max_body_bytes: Count = Field(1_048_576, description="API: largest request body in bytes.")
    max_numbers: Count = Field(10_000, description="API: most numbers in the data of one job.")
    max_batch_jobs: Count = Field(10_000, description="API: most jobs in one POST /jobs/batch.")
    max_attempts: Annotated[int, Field(ge=1, le=1_000)] = Field(100, description="API: most attempts that a submission may ask for.")
    max_backoff_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(86_400, description="API: longest backoff that a submission may ask for.")
    max_timeout_seconds: Annotated[float, Field(gt=0, le=2_147_483)] = Field(
        86_400, description="API: longest limit of an attempt that a submission may ask for."
    )
    max_delay_days: Annotated[int, Field(ge=1, le=3_650)] = Field(365, description="API: a job may begin, and have its deadline, so many days ahead.")
    max_keep_days: Annotated[int, Field(ge=1, le=3_650)] = Field(90, description="API: longest time after its end that a submission may ask to be kept.")
    max_metadata_bytes: Count = Field(4_096, description="API: largest metadata of a job, in bytes of JSON.")
    max_queue_age_seconds: Annotated[float, Field(ge=0, le=86_400 * 365)] = Field(
        0, description="API: a submission gets 429 while the oldest due job of its queue has waited for longer than this. 0: never."
    )
    idempotency_seconds: Seconds = Field(86_400, description="API: how long an Idempotency-Key is remembered.")
    max_waiting_jobs: Count = Field(50_000, description="API: jobs of one process that may wait for their commit; more get 503.")
    flush_jobs: Count = Field(1_000, description="API: most jobs of single submissions in one commit.")
    body_timeout_seconds: Seconds = Field(10, description="API: a body that has not arrived by then gets 408.")
    max_wait_seconds: Annotated[float, Field(gt=0, le=3_600)] = Field(60, description="API: longest time that a request may ask to wait for the end of a job.")
    max_waiting_clients: Count = Field(10_000, description="API: clients of one process that may wait for the end of a job; more get 503.")
    max_event_streams: Count = Field(1_000, description="API: clients of one process that may read the events of a job; more get 503.")
    wait_look_seconds: Seconds = Field(1, description="API: how often a job that clients wait for is looked at, in case that nobody tells of its end.")
    event_heartbeat_seconds: Seconds = Field(15, description="API: a stream of events on which nothing happens has a comment this often.")
    event_stream_seconds: Seconds = Field(3_600, description="API: a stream of events is ended after so long; its client resumes it.")
    head_timeout_seconds: Seconds = Field(20, description="API: a connection on which no whole request head has arrived by then is closed.")
    answer_timeout_seconds: Seconds = Field(60, description="API: a connection whose client has not taken its answer by then is closed.")
    database_timeout_seconds: Seconds = Field(5, description="API: a request that PostgreSQL has not answered by then gets 503.")
    api_pool_connections: Count = Field(5, description="API: database connections of one process.")
    max_clock_skew_seconds: Seconds = Field(3_600, description="API: not ready while its clock is further from the database's than this.")
    catalogue_seconds: Seconds = Field(10, description="API: how long the list of operations is kept before it is read again.")
    ring_interval_milliseconds: Annotated[float, Field(ge=0, le=1_000)] = Field(
        35, description="Shortest time between two doorbells of one process for one queue while jobs arrive many at a time."
    )
    list_page_jobs: Annotated[int, Field(ge=1, le=1_000)] = Field(200, description="API: most jobs on a page of GET /jobs.")
    list_scan_jobs: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        20_000, description="API: rows of an index that a page of GET /jobs may walk; then it comes back short, with a cursor to go on from."
    )
    cursor_key: str = Field("", description="API: signs the cursors of GET /jobs; the same for all processes. Empty: made from DATABASE_URL.")
    cors_origins: str = Field("", description="API: origins whose pages may call it from a browser, by commas, such as `https://app.example`; `*`: all.")
    compress_bytes: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        1_024, description="API: an answer to GET of at least so many bytes is sent as gzip to clients that take it; 0: none is."
    )
    redis_timeout_seconds: Seconds = Field(2, description="Longest wait for an answer or a connection of Redis.")

    lease_seconds: Seconds = Field(30, description="Worker: a process not heard of for this long has lost its jobs.")
    heartbeat_seconds: Seconds = Field(5, description="Worker: time between two renewals of the leases; at most half a lease.")
    watch_milliseconds: Annotated[float, Field(ge=10, le=5_000)] = Field(100, description="Worker: how often time limits and dead children are looked for.")
    batch_milliseconds: Annotated[float, Field(ge=1, le=10_000)] = Field(50, description="Worker: a claim takes about this much work.")
    max_claim_jobs: Annotated[int, Field(ge=1, le=1_000)] = Field(400, description="Worker: most jobs in one claim.")
    serve_seconds: Seconds = Field(1, description="Worker: longest time that one doorbell keeps a process at one queue while others may ring.")
    settle_early_seconds: Seconds = Field(1, description="Worker: a batch that takes longer than this stores what it has and gives the rest back.")
    grace_seconds: Seconds = Field(
        25, description="After SIGTERM. Worker: time for running jobs; then they are given back. API: time for open requests; then they are broken off."
    )
    leave_seconds: Annotated[float, Field(ge=0, le=300)] = Field(
        0,
        description="API: after SIGTERM a kept connection may carry requests for so long, and each answer closes it; within the grace. 0: closed at once.",
    )
    async_jobs: Annotated[int, Field(ge=1, le=1_000)] = Field(100, description="Worker: most jobs of `async def` operations that a process runs at a time.")
    async_block_seconds: Seconds = Field(
        30, description="Worker: a process whose event loop stands still for so long, mostly as an `async def` operation blocks, is ended."
    )
    unique_retry_seconds: Seconds = Field(1, description="Worker: a job whose unique key, `while: running`, another one has is put off for so long.")
    max_result_bytes: Count = Field(1_048_576, description="Worker: largest result in bytes of JSON; a larger one fails the job with `result_too_large`.")
    max_crashes: Annotated[int, Field(ge=1, le=1_000)] = Field(
        3, description="Worker and controller: a job ends FAILED with `worker_lost` once it has taken its process down so often."
    )
    max_error_characters: Count = Field(4_000, description="Worker: longest error text that is stored.")
    cancel_check_seconds: Seconds = Field(
        1, description="Worker: whether a job was asked to stop is looked up once it has run for so long, and again each time this has passed."
    )
    cancel_grace_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        10, description="Worker: time for a running job that is asked to stop; then its process is ended."
    )
    progress_seconds: Seconds = Field(1, description="Worker: shortest time between two stored progress reports of a job.")
    reconnect_cap_seconds: Seconds = Field(5, description="Longest pause between two attempts to reach the database.")
    statement_timeout_seconds: Seconds = Field(30, description="Worker and controller: longest statement.")

    health_file: str = Field("", description="Worker: file that says whether it lives, for `python -m worker.health`; empty: none.")
    deaf_seconds: Seconds = Field(
        30, description="Worker: unhealthy once due work of its queues has waited for so long while a process is idle and none looks."
    )
    pod_name: str = Field("", description="Worker: name of its pod, for the deletion cost.")
    pod_namespace: str = Field("", description="Worker: namespace of its pod, for the deletion cost.")
    pod_deletion_cost: bool = Field(default=False, description="Worker: raise the deletion cost of its pod while it runs jobs.")
    kubernetes_timeout_seconds: Seconds = Field(5, description="Worker: longest wait for the Kubernetes API.")

    tick_seconds: Seconds = Field(
        1, description="Controller: how often it looks for lost leases, due jobs and strays. Worker: how often, while idle, for work that nobody rang for."
    )
    starvation_seconds: Annotated[float, Field(ge=0, le=86_400 * 365)] = Field(
        0, description="Controller: a job that has been due for so long gets priority 0. 0: never, priorities are exact."
    )
    leader_seconds: Seconds = Field(10, description="Controller: how long a leader that is not heard of stays leader.")
    retention_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        7, description="Controller: finished jobs are removed once they are older than this many days."
    )
    retention_failed_days: Annotated[int, Field(ge=0, le=3_650)] = Field(0, description="Controller: the same of FAILED jobs. 0: as retention_days.")
    retention_cancelled_days: Annotated[int, Field(ge=0, le=3_650)] = Field(0, description="Controller: the same of CANCELLED jobs. 0: as retention_days.")
    payload_days: Annotated[int, Field(ge=0, le=3_650)] = Field(
        0, description="Controller: inputs of jobs that ended more than this many days ago are removed, their results stay. 0: kept as long as the job."
    )
    removal_jobs_per_second: Count = Field(
        2_000, description="Controller: most jobs in a second that are removed one by one, or their inputs; whole partitions are not counted."
    )
    retention_check_seconds: Seconds = Field(300, description="Controller: how often retention is looked at.")
    partition_days: Annotated[int, Field(ge=1, le=366)] = Field(
        1, description="Days of jobs in one partition. Keep the longest retention, in days, / partition_days below 35."
    )
    partitions_ahead: Annotated[int, Field(ge=2, le=30)] = Field(3, description="Partitions made before they are needed.")
    action_jobs_per_second: Count = Field(100, description="API: most jobs in a second of an action that does not ask for a rate.")
    action_max_jobs_per_second: Count = Field(2_000, description="API: highest rate that an action may ask for.")
    action_step_jobs: Annotated[int, Field(ge=1, le=5_000)] = Field(500, description="Controller: most jobs that an action changes in one transaction.")
    action_preview_seconds: Seconds = Field(3_600, description="Controller: an action that is not started by then is removed.")
    action_keep_seconds: Seconds = Field(
        604_800, description="Controller: an action that nothing has happened to for so long is removed, with what its undo needs."
    )
    gauge_cap_jobs: Count = Field(100_000, description="Controller: depth gauges count no further than this.")
    access_log: bool = Field(False, description="API: log each request, with its route, status and duration, at level info.")
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(0, description="Port of /metrics, of the controller also of /livez and /readyz; 0: none.")
    lock_timeout_seconds: Seconds = Field(
        2, description="Longest wait of a migration, of partition work or of an action for a lock; then it yields and tries again."
    )

    @field_validator("database_url")
    @classmethod
    def _plain_postgresql(cls, value: str) -> str:
        scheme, there, rest = value.partition("://")
        if not there or scheme.partition("+")[0].lower() not in {"postgresql", "postgres"}:
            raise ValueError("must begin with postgresql://")
        return checked_hosts(f"postgresql://{rest}")

    @field_validator("redis_url")
    @classmethod
    def _plain_redis(cls, value: str) -> str:
        if value.partition("://")[0].lower() not in {"redis", "rediss"} or "://" not in value:
            raise ValueError("must begin with redis:// or rediss://")
        return checked_hosts(value)

    @field_validator("failpoints")
    @classmethod
    def _known_failpoints(cls, value: str) -> str:
        failpoints.arm(value)
        return value

    @field_validator("metrics_port", mode="before")
    @classmethod
    def _no_service_link(cls, value: object) -> object:
        # Kubernetes injects JOBPROC_METRICS_PORT=tcp://… for a Service named jobproc-metrics.
        return 0 if isinstance(value, str) and value.startswith("tcp://") else value

    @field_validator("cors_origins")
    @classmethod
    def _plain_origins(cls, value: str) -> str:
        wrong = [one for one in value.split(",") if one.strip() and one.strip() != "*" and not _ORIGIN.fullmatch(one.strip())]
        if wrong:
            raise ValueError("each must be scheme://host or scheme://host:port, without a path, or the whole *")
        return value

    @property
    def origins(self) -> list[str]:
        """The origins of `cors_origins`."""
        return [one.strip() for one in self.cors_origins.split(",") if one.strip()]

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        wrong = []
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            wrong.append(f"{PREFIX}HEARTBEAT_SECONDS must be at most half of {PREFIX}LEASE_SECONDS")
        if self.leave_seconds > self.grace_seconds:
            wrong.append(f"{PREFIX}LEAVE_SECONDS must be at most {PREFIX}GRACE_SECONDS")
        if self.failpoints and self.environment is Environment.PRODUCTION:
            wrong.append(f"{PREFIX}FAILPOINTS is for tests; {PREFIX}ENVIRONMENT is production")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings; raises StartupError that lists everything that is wrong."""
        names = {name_of(field) for field in cls.model_fields}
        wrong = [f"{name}: no such setting; {near} is near" for name in environ if (near := _misspelt(name, names))]
        try:
            settings = cls()
        except ValidationError as error:
            for problem in error.errors():
                field = str(problem["loc"][0]) if problem["loc"] else ""
                at = field if field in _UNPREFIXED else name_of(field) if field else "settings"
                wrong.append(f"{at}: {problem['msg'].removeprefix('Value error, ')}")
        if wrong:
            raise StartupError("bad settings: " + "; ".join(wrong) + " (docs/reference/settings.md)")
        return settings

    def masked(self) -> dict[str, str]:
        """Return what differs from the defaults, with passwords masked, for the log."""
        shown = {"database_url": masked_url(self.database_url), "redis_url": masked_url(self.redis_url)}
        for name, field in type(self).model_fields.items():
            if name not in shown and getattr(self, name) != field.default:
                shown[name] = "***" if name == "cursor_key" else str(getattr(self, name))
        return shown


def _misspelt(name: str, names: set[str]) -> str | None:
    """Return the setting that a variable is a misspelling of; other variables with the prefix are somebody else's."""
    if not name.startswith(PREFIX) or name in names or _SERVICE_LINK.search(name):
        return None
    return next(iter(get_close_matches(name, names, 1, MISSPELLING_SIMILARITY)), None)


def name_of(field: str) -> str:
    """Return the environment variable of a field."""
    return field.upper() if field.upper() in _UNPREFIXED else PREFIX + field.upper()
