"""Every metric of jobproc, declared once: name, kind, labels, buckets, help. docs/reference/metrics.md shows them.

Values of labels come from the registry of operations, the routes, the queues and this code, never from a client.
"""

from common.telemetry import access_metrics, job_log_metrics, schedule_metrics
from common.telemetry.feature_metrics import feed, webhooks
from common.telemetry.metric_families import Component, Metric, MetricKind

DOORBELL_OUTCOMES = ("sent", "coalesced", "failed")
RESULT, EVENTS, LOGS = "result", "events", "logs"  # kinds of waiting clients: long polls and event streams
LONG_POLL_OUTCOMES = ("notified", "polled", "timeout", "disconnected", "rejected")
OTHER = "other"  # the value of a label if it is none of the known ones

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG = (0.0001, 0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600)
_WAIT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)
_COUNT = (1, 2, 5, 10, 25, 50, 100, 200, 400)
_API, _WORKER, _CONTROLLER = (Component.API,), (Component.WORKER,), (Component.CONTROLLER,)

HTTP_REQUESTS = Metric(
    "jobproc_http_requests_total",
    MetricKind.COUNTER,
    _API,
    "Answered requests, by route template and status.",
    ("method", "route", "status"),
)
HTTP_DURATION = Metric(
    "jobproc_http_request_duration_seconds",
    MetricKind.HISTOGRAM,
    _API,
    "Time from the first byte of a request to the last byte of its response.",
    ("method", "route"),
    _QUICK,
)
HTTP_IN_PROGRESS = Metric(
    "jobproc_http_requests_in_progress",
    MetricKind.GAUGE,
    _API,
    "Requests in progress; waiting clients are not among them.",
)
EVENT_LOOP_LAG = Metric(
    "jobproc_event_loop_lag_seconds",
    MetricKind.HISTOGRAM,
    _API,
    "Delay of a timer that the event loop should run 20 times a second. While it is late, the process answers no "
    "request, not even a probe.",
    (),
    _QUICK,
)
IRREGULAR_REQUESTS = Metric(
    "jobproc_http_irregular_requests_total",
    MetricKind.COUNTER,
    _API,
    "Irregular requests by reason. Refused before any route gets them: malformed, head_bytes, head_fields, target and "
    "trailers (larger than their limit), connect. Served: upgrade (the offer of one, which is ignored).",
    ("reason",),
)
JOBS_ACCEPTED = Metric(
    "jobproc_jobs_accepted_total", MetricKind.COUNTER, _API, "Accepted jobs, committed.", ("operation", "queue")
)
COMMIT_JOBS = Metric(
    "jobproc_commit_jobs", MetricKind.HISTOGRAM, _API, "Single submissions in one group commit.", (), _COUNT
)
COMMIT_WAIT = Metric(
    "jobproc_commit_wait_seconds",
    MetricKind.HISTOGRAM,
    _API,
    "Time from the first submission of a group commit to its start, mostly the duration of the previous commit.",
    (),
    _QUICK,
)
COMMIT_DURATION = Metric(
    "jobproc_commit_duration_seconds",
    MetricKind.HISTOGRAM,
    _API,
    "Duration of a group commit, with its retries and their delays.",
    (),
    _QUICK,
)
POOL_CONNECTIONS = Metric(
    "jobproc_database_pool_connections",
    MetricKind.GAUGE,
    _API,
    "Database connections of the pool: `used`, and `max`, the size of the pool.",
    ("state",),
)
LANE_REQUESTS = Metric(
    "jobproc_database_lane_requests",
    MetricKind.GAUGE,
    _API,
    "Requests by lane of the pool that use a database connection (`in_use`) or wait for one (`waiting`). Lanes: "
    "`intake`, `by_id`, `readiness`, `expensive`.",
    ("lane", "state"),
)
LANE_REFUSED = Metric(
    "jobproc_database_lane_refused_total",
    MetricKind.COUNTER,
    _API,
    "Requests by lane that got no database connection: too many waited, the wait took too long, or the client left.",
    ("lane",),
)
DOORBELLS = Metric(
    "jobproc_doorbells_total",
    MetricKind.COUNTER,
    (Component.API, Component.CONTROLLER),
    "Doorbells by outcome: sent, coalesced (an unanswered one was already waiting), failed (Redis was unavailable).",
    ("outcome",),
)

WAITING_CLIENTS = Metric(
    "jobproc_waiting_clients",
    MetricKind.GAUGE,
    _API,
    "Waiting clients: open long polls (`result`), event streams (`events`) and streams of logs (`logs`). They are not "
    "among the requests in progress.",
    ("kind",),
)
LONG_POLLS = Metric(
    "jobproc_long_polls_total",
    MetricKind.COUNTER,
    _API,
    "Finished long polls by outcome: notified (through Redis), polled (found without a notification), timeout, "
    "disconnected (client or API left), rejected (too many clients).",
    ("outcome",),
)
REFUSALS = Metric(
    "jobproc_refusals_total",
    MetricKind.COUNTER,
    _API,
    "Clients that a limit refused, by the limit: `connections`, `long_polls`, `event_streams`, `log_streams` "
    "(with `_of_address`: the share of one address), `buffered_submissions`, `buffered_bytes`, `unread_bytes` (a "
    "connection was closed), `open_files` (seconds without), `requests_of_address`, `requests_of_tenant`, "
    "`requests_of_key`, `failed_authentications`, `quota_waiting_jobs`, `quota_jobs_per_minute`, `quota_stored_bytes`.",
    ("reason",),
)

ATTEMPTS = Metric(
    "jobproc_attempts_total",
    MetricKind.COUNTER,
    _WORKER,
    "Attempts that ended in this worker, by outcome: success, failed (the job ends), retried, released (not charged), "
    "cancelled. A cancel request in the last second of an attempt may not be known to the worker; then the attempt "
    "counts under its own outcome.",
    ("operation", "queue", "outcome"),
)
RUN_DURATION = Metric(
    "jobproc_attempt_duration_seconds",
    MetricKind.HISTOGRAM,
    _WORKER,
    "Duration of one attempt in the operation.",
    ("operation",),
    _LONG,
)
START_DELAY = Metric(
    "jobproc_start_delay_seconds",
    MetricKind.HISTOGRAM,
    _WORKER,
    "Time from the due time of a job to its claim.",
    ("queue",),
    _WAIT,
)
CLAIM_JOBS = Metric(
    "jobproc_claim_jobs", MetricKind.HISTOGRAM, _WORKER, "Jobs in one claim that found any.", ("queue",), _COUNT
)
EMPTY_CLAIMS = Metric(
    "jobproc_empty_claims_total",
    MetricKind.COUNTER,
    _WORKER,
    "Claims that found no job: after a doorbell, or at the end of a backlog.",
    ("queue",),
)
RESULTS_FENCED = Metric(
    "jobproc_results_fenced_total",
    MetricKind.COUNTER,
    _WORKER,
    "Results that the fence refused, because another attempt had the job by then.",
)
LEASES_LOST = Metric(
    "jobproc_leases_lost_total",
    MetricKind.COUNTER,
    _WORKER,
    "Leases of this worker's processes that had ended before their renewal.",
)
PROCESS_DEATHS = Metric(
    "jobproc_worker_processes_died_total",
    MetricKind.COUNTER,
    _WORKER,
    "Processes that crashed or were killed while they ran a job, or could not start, by reason.",
    ("reason",),
)
WORKER_PROCESSES = Metric(
    "jobproc_worker_processes",
    MetricKind.GAUGE,
    _WORKER,
    "Processes of this worker: `busy` ones run a job, `idle` ones do not.",
    ("state",),
)
LAST_CLAIM = Metric(
    "jobproc_worker_last_claim_timestamp_seconds",
    MetricKind.GAUGE,
    _WORKER,
    "Time of the last claim of any process of this worker, with or without jobs.",
)

QUEUE_DEPTH = Metric(
    "jobproc_queue_depth",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Jobs of a queue that need workers: due jobs that wait, plus running jobs. Scale workers by it.",
    ("queue",),
)
QUEUE_JOBS = Metric(
    "jobproc_queue_jobs",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Jobs of a queue: `queued` are due and wait, `running` are claimed. Counted up to JOBPROC_QUEUE_COUNT_LIMIT.",
    ("queue", "state"),
)
OLDEST_DUE = Metric(
    "jobproc_queue_oldest_due_seconds",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Age of the oldest due job that waits, from its due time; 0 if none waits.",
    ("queue",),
)
WORKERS_ALIVE = Metric(
    "jobproc_workers_alive",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Worker processes with a lease that serve the queue.",
    ("queue",),
)
PARKED_JOBS = Metric(
    "jobproc_queue_parked_jobs",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Due jobs that wait for their key, up to a limit. `kind` is `unique` if a running job holds it, and `concurrency` "
    "if the policy of the queue has no place or token for it. They are no part of the depth.",
    ("queue", "kind"),
)
UNRUNNABLE_JOBS = Metric(
    "jobproc_queue_unrunnable_jobs",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Due jobs that no live worker of their queue can run, because none has their operation in that version. "
    "The leader counts them once a minute.",
    ("queue",),
)
TABLE_BYTES = Metric(
    "jobproc_table_bytes",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Size of a table with its partitions, by `rows` and `indexes`.",
    ("table", "part"),
)
DEAD_ROWS = Metric(
    "jobproc_table_dead_rows",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Dead rows of a table that vacuum has not removed yet, by PostgreSQL's estimate.",
    ("table",),
)
OLDEST_TRANSACTION = Metric(
    "jobproc_database_oldest_transaction_seconds",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Age of the oldest open transaction on the server. While it is open, vacuum cannot remove rows that died since.",
)
SCRAPE_ERRORS = Metric(
    "jobproc_scrape_errors_total",
    MetricKind.COUNTER,
    _CONTROLLER,
    "Scrapes that could not read the database; its metrics are absent from them.",
)
LEADING = Metric("jobproc_controller_leading", MetricKind.GAUGE, _CONTROLLER, "1 while this controller leads, else 0.")
TASK_LAST_SUCCESS = Metric(
    "jobproc_controller_task_last_success_timestamp_seconds",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Time of the last success of a task of the leader.",
    ("task",),
)
TASK_JOBS = Metric(
    "jobproc_controller_task_jobs_total",
    MetricKind.COUNTER,
    _CONTROLLER,
    "Jobs that a task of the leader has changed.",
    ("task",),
)
BULK_ACTION_JOBS = Metric(
    "jobproc_bulk_action_jobs_total",
    MetricKind.COUNTER,
    _CONTROLLER,
    "Jobs that bulk actions have processed, by kind of action and result: done, skipped, undo_done, undo_skipped.",
    ("action", "result"),
)

_OF_FEATURES = (*job_log_metrics.ALL, *access_metrics.ALL, *schedule_metrics.ALL, *webhooks.ALL, *feed.ALL)
ALL = [*(m for m in vars().copy().values() if isinstance(m, Metric)), *_OF_FEATURES]
