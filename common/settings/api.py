"""Settings of the API."""

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, field_validator

from common.settings.field_types import Bytes, Count, Seconds, Secret, SettingsGroup

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")

_PREFIX = re.compile(r"(/(?!\.+(/|$))[A-Za-z0-9._~-]+)*")
#: First segments of the API's own paths. A prefix that began with one could not be told from them.
OWN_SEGMENTS = (
    "audit", "batches", "bulk-actions", "console", "diagnostics", "docs", "errors", "events", "jobs", "keys", "live",
    "livez", "me", "openapi.json", "operations", "queues", "readyz", "schedules", "stats", "tenants", "usage",
    "webhooks", "workers", "workflows",
)  # fmt: skip


def checked_prefix(text: str) -> str:
    """Return a prefix of paths without a final slash. Raises ValueError for another text."""
    prefix = text.rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("must be a path such as /jobproc, of letters, digits and . _ ~ -")
    if prefix.split("/")[1:2] and prefix.split("/")[1] in OWN_SEGMENTS:
        raise ValueError(f"must not begin with one of the API's own paths: {', '.join(OWN_SEGMENTS)}")
    return prefix


class ApiSettings(SettingsGroup):
    """The buffers, timeouts, caches and connections of an API process."""

    job_inline_bytes: Count = Field(
        16_384,
        description="API: largest input or result in bytes of JSON that GET /jobs/{id} shows; a larger one has a link "
        "instead. All error texts of attempts have up to four times as many bytes; beyond that they are cut.",
    )
    queue_pause_timeout_seconds: Seconds = Field(
        5,
        description="API: longest wait in seconds, when a queue is paused, for claims that began before; then the "
        "response is 503, and the request is to be repeated.",
    )
    max_queue_age_seconds: Annotated[float, Field(ge=0, le=86_400 * 365)] = Field(
        0,
        description="API: back-pressure limit in seconds. While the oldest due job of a queue has waited longer, "
        "submissions to it are refused with 429. 0: no limit.",
    )
    idempotency_seconds: Seconds = Field(
        86_400, description="API: time in seconds for which an Idempotency-Key is remembered."
    )
    max_buffered_submissions: Count = Field(
        50_000,
        description="API: largest number of submissions that one process buffers for its next group commit; "
        "more are refused with 503.",
    )
    max_buffered_bytes: Bytes = Field(
        67_108_864,
        description="API: largest total of the inputs and metadata, in bytes of memory, of the submissions in one "
        "process that wait for their commit; more are refused with 503. One submission is always accepted.",
    )
    group_commit_max_jobs: Count = Field(
        1_000, description="API: largest number of single submissions in one group commit; more wait for the next one."
    )
    group_commit_max_bytes: Bytes = Field(
        4_194_304,
        description="API: largest total of the inputs and metadata, in bytes of memory, of the single submissions in "
        "one group commit; more wait for the next one. A larger submission is committed alone.",
    )
    max_connections: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        0,
        description="API: largest number of connections of clients to one process; more get 503 and are closed. "
        "0: the limit of open files less 128 and less the pool's connections to the database, at most 20,000.",
    )
    max_percent_per_address: Annotated[int, Field(ge=1, le=100)] = Field(
        25,
        description="API: largest part in percent of the connections, of the long polls and of the event streams of "
        "one process that one address may hold, of IPv6 a /64 network. 100: no limit per address.",
    )
    trusted_proxies: str = Field(
        "",
        description="API: comma-separated addresses and networks of proxies, such as `10.0.0.0/8`. Their connections "
        "have no limit per address, and their long polls and event streams count for the address in their "
        "X-Forwarded-For, or without it Forwarded. Empty: none.",
    )
    docs_folder: str = Field(
        "",
        description="API: folder of the documentation site that it serves at /console/docs; in the image /app/docs. "
        "Empty or not there: none is served.",
    )
    console: bool = Field(True, description="API: serve the console at /console. False: it is not there.")
    root_path: str = Field(
        "",
        description="API: path under which a proxy serves the API, such as `/jobproc`; the proxy may remove it from "
        "requests or not. Links and Location begin with it. The X-Forwarded-Prefix of a proxy in "
        "JOBPROC_TRUSTED_PROXIES is used instead. Empty: none.",
    )
    max_unread_response_bytes: Bytes = Field(
        134_217_728,
        description="API: largest total of response bytes in one process that wait for slow clients; beyond it the "
        "connection that has waited longest is closed.",
    )
    probe_timeout_seconds: Seconds = Field(
        6,
        description="API: longest wait in seconds for the checks of /livez and /readyz on the port of the metrics; "
        "then the probe gets 503.",
    )
    body_timeout_seconds: Seconds = Field(
        10, description="API: longest time in seconds for a request body to arrive; then the request gets 408."
    )
    long_poll_max_seconds: Annotated[float, Field(gt=0, le=3_600)] = Field(
        60, description="API: longest `wait` of a long poll in seconds; a longer one is refused with 422."
    )
    long_poll_max_clients: Count = Field(
        10_000, description="API: largest number of open long polls in one process; more are refused with 503."
    )
    event_stream_max_clients: Count = Field(
        1_000, description="API: largest number of open event streams in one process; more are refused with 503."
    )
    log_stream_max_clients: Count = Field(
        100,
        description="API: largest number of clients that follow logs in one process, each of which reads the database "
        "once in JOBPROC_WAIT_POLL_SECONDS; more are refused with 503.",
    )
    wait_poll_seconds: Seconds = Field(
        1,
        description="API: polling interval in seconds for jobs with waiting clients; "
        "it bounds the delay when a change notification is lost.",
    )
    event_heartbeat_seconds: Seconds = Field(
        15, description="API: interval in seconds between the heartbeat comments of an idle event stream."
    )
    event_stream_max_seconds: Seconds = Field(
        3_600,
        description="API: longest duration of an event stream in seconds; then it is closed and its client resumes it.",
    )
    request_header_timeout_seconds: Seconds = Field(
        20,
        description="API: longest time in seconds for a complete request header to arrive; "
        "then the connection is closed.",
    )
    response_write_timeout_seconds: Seconds = Field(
        60,
        description="API: longest time in seconds for a client to read its response; then the connection is closed.",
    )
    database_timeout_seconds: Seconds = Field(
        5, description="API: longest wait in seconds for PostgreSQL; then the request gets 503."
    )
    api_pool_connections: Annotated[int, Field(ge=4, le=10_000)] = Field(
        5,
        description="API: size of the database connection pool of one process. Submissions, reads by id and the "
        "readiness probe have one connection each that no other kind of request takes.",
    )
    expensive_read_timeout_seconds: Seconds = Field(
        1,
        description="API: longest time in seconds for a statement of an expensive read: lists, previews of bulk "
        "actions, explanations, statistics, operations. Then the request gets 503. At most 0.8 of "
        "JOBPROC_DATABASE_TIMEOUT_SECONDS counts.",
    )
    expensive_read_max_waiting_clients: Count = Field(
        20,
        description="API: largest number of clients of one process whose expensive reads wait for a database "
        "connection; more are refused with 503. Expensive reads take at most half of the pool.",
    )
    expensive_read_max_wait_seconds: Seconds = Field(
        2,
        description="API: longest time in seconds that an expensive read waits for a database connection; "
        "then it is refused with 503.",
    )
    max_clock_skew_seconds: Seconds = Field(
        3_600,
        description="API: largest difference in seconds between its clock and the database's; "
        "beyond it the process is not ready.",
    )
    operations_cache_seconds: Seconds = Field(
        10, description="API: time in seconds for which the list of operations is cached."
    )
    list_page_jobs: Annotated[int, Field(ge=1, le=1_000)] = Field(
        200, description="API: largest number of jobs on a page of GET /jobs."
    )
    results_max_jobs: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1_000, description="API: largest number of ids in one POST /jobs/results; more are refused with 422."
    )
    list_scan_jobs: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        20_000,
        description="API: largest number of index rows that a page of GET /jobs or a preview of a bulk action scans. "
        "At the limit the page is returned short, with a cursor, and the count of the preview is an estimate.",
    )
    cursor_key: Secret = Field(
        "",
        description="API: secret that signs the cursors of GET /jobs, the same for all processes. "
        "Empty: derived from DATABASE_URL and the password, so a new password makes earlier cursors invalid.",
    )
    cors_origins: str = Field(
        "",
        description="API: comma-separated origins whose pages may call the API from a browser, such as "
        "`https://app.example`. `*`: all. Empty: none.",
    )
    allowed_hosts: str = Field(
        "",
        description="API: comma-separated host names under which clients call the API, such as `jobs.example` or "
        "`*.jobs.example`; a request with another `Host` is refused with 421. IP addresses, names without a dot, names "
        "that end in `.localhost` or `.internal`, and the name of the machine are always allowed. `*`: all.",
    )
    compression_min_bytes: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        1_024,
        description="API: smallest response to GET in bytes that is compressed with gzip, if the client accepts it. "
        "0: no compression.",
    )
    keepalive_drain_seconds: Annotated[float, Field(ge=0, le=300)] = Field(
        0,
        description="API: time in seconds after SIGTERM in which kept-alive connections may send another request, "
        "whose response closes them. Part of the shutdown grace. 0: idle connections are closed at once.",
    )
    bulk_action_jobs_per_second: Count = Field(
        100, description="API: rate of a bulk action that asks for none, in jobs a second."
    )
    bulk_action_max_jobs_per_second: Count = Field(
        2_000,
        description="API: highest rate that a bulk action may ask for, in jobs a second; "
        "a higher one is refused with 422.",
    )
    bulk_action_max_previews: Count = Field(
        100,
        description="API: number of bulk actions that may wait for their start. At the limit a new one takes the place "
        "of the oldest.",
    )
    bulk_action_preview_min_seconds: Seconds = Field(
        60,
        description="API: time in seconds for which a bulk action that waits for its start keeps its place. "
        "At the limit new ones are refused with 429 meanwhile.",
    )
    access_log: bool = Field(
        False, description="API: log each request with its route, status and duration, at level `info`."
    )

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        origins = [origin.strip() for origin in value.split(",")]
        if any(origin and origin != "*" and not _ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError("each must be scheme://host or scheme://host:port, without a path, or the whole *")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, value: str) -> str:
        if not all(_HOST.fullmatch(host) for host in _items(value.lower())):
            raise ValueError("each must be a host name without scheme and port, such a name after *., or the whole *")
        return value

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, value: str) -> str:
        return checked_prefix(value.strip())

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, value: str) -> str:
        for text in value.split(","):
            try:
                if text.strip():
                    ip_network(text.strip())
            except ValueError as error:
                raise ValueError(
                    f"each must be an address or a network such as 10.0.0.0/8, without host bits: {error}"
                ) from error
        return value

    @property
    def origins(self) -> list[str]:
        """The origins of `cors_origins`."""
        return _items(self.cors_origins)

    @property
    def hosts(self) -> list[str]:
        """The host names of `allowed_hosts`, in lower case."""
        return _items(self.allowed_hosts.lower())


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]
