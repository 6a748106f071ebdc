"""API: requests, group commit, waiting clients, doorbells, connections."""

from common.telemetry import access_metrics, metrics
from k8s.dashboards.panels import Query, Row, dashboard, figure, graph
from k8s.dashboards.queries import increase, mean, observed, quantile, rate, since, total

SUBMIT = "/jobs(/batch)?"
ERRORS = f"({rate(metrics.HTTP_REQUESTS, status='5..')} or vector(0)) / {rate(metrics.HTTP_REQUESTS)}"
SUBMIT_ERRORS = (
    f"({rate(metrics.HTTP_REQUESTS, method='POST', route=SUBMIT, status='5..')} or vector(0))"
    f" / {rate(metrics.HTTP_REQUESTS, method='POST', route=SUBMIT)}"
)

NOW = Row(
    "Now",
    (
        figure("Requests", "reqps", "Answered requests per second, all routes.", rate(metrics.HTTP_REQUESTS)),
        figure(
            "Failed submissions",
            "percentunit",
            "Share of POST /jobs/ and /jobs/batch answered with 5xx. The objective is below 0.1 %. 503 means that the "
            "database was unavailable or the API overloaded.",
            SUBMIT_ERRORS,
            warn=0.001,
        ),
        figure(
            "Submission, p99",
            "s",
            "Duration of a submission, its commit included. Normal is tens of milliseconds.",
            quantile(0.99, metrics.HTTP_DURATION, method="POST", route=SUBMIT),
            warn=1,
        ),
        figure(
            "In progress",
            "short",
            "Requests in progress. Normal is a few; a rise means that the database is slow.",
            total(metrics.HTTP_IN_PROGRESS),
        ),
        figure(
            "Jobs accepted",
            "ops",
            "Committed jobs per second; a batch has many in one request.",
            rate(metrics.JOBS_ACCEPTED),
        ),
        figure(
            "Failed doorbells",
            "ops",
            "Doorbells per second that could not be sent to Redis. Normal is 0. The jobs are stored nevertheless, and "
            "start about a tick later.",
            rate(metrics.DOORBELLS, outcome="failed"),
            warn=0.001,
        ),
    ),
)

REQUESTS = Row(
    "Requests",
    (
        graph(
            "Rate by route",
            "reqps",
            "Answered requests per second by method and route template; `other` is a path without a route.",
            Query(rate(metrics.HTTP_REQUESTS, ["method", "route"]), "{{method}} {{route}}"),
            stacked=True,
        ),
        graph(
            "Rate by status",
            "reqps",
            "200 and 202 are normal. 404 is a request for an unknown job, 422 an invalid submission, 503 an "
            "unavailable database or an overloaded API.",
            Query(rate(metrics.HTTP_REQUESTS, ["status"]), "{{status}}"),
            stacked=True,
        ),
        graph(
            "Share of 5xx",
            "percentunit",
            "Share of 5xx responses of all requests, and of submissions. Normal is 0; the objective for submissions is "
            "below 0.1 %.",
            Query(ERRORS, "all"),
            Query(SUBMIT_ERRORS, "submissions"),
            warn=0.001,
        ),
        graph(
            "In progress by pod",
            "short",
            "Requests in progress. One pod far above the others gets too many connections, or too little CPU.",
            Query(total(metrics.HTTP_IN_PROGRESS, ["pod"]), "{{pod}}"),
        ),
        graph(
            "Duration",
            "s",
            "Time from the first byte of a request to the last of its response, all routes. Normal is milliseconds for "
            "reads, and the duration of a commit for submissions.",
            *(Query(quantile(share, metrics.HTTP_DURATION), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
        ),
        graph(
            "Duration by route, p95",
            "s",
            "Slow routes. /jobs/batch grows with the size of a batch.",
            Query(quantile(0.95, metrics.HTTP_DURATION, ["method", "route"]), "{{method}} {{route}}"),
        ),
        graph(
            "Lag of the event loop",
            "s",
            "How late the event loop runs a timer: the bucket of the worst case by pod, and the p99 of all. While it "
            "is late, the process answers nothing. Normal is milliseconds; more is a callback that computes for long, "
            "or a process that gets no CPU.",
            Query(quantile(1, metrics.EVENT_LOOP_LAG, ["pod"]), "worst {{pod}}"),
            Query(quantile(0.99, metrics.EVENT_LOOP_LAG), "p99"),
            warn=0.25,
        ),
    ),
)

COMMITS = Row(
    "Group commit",
    (
        graph(
            "Commits",
            "ops",
            "Commits of single submissions per second. Under load the rate stays about the same, while each commit "
            "contains more jobs.",
            Query(observed(metrics.COMMIT_JOBS), "commits"),
        ),
        graph(
            "Jobs in a commit",
            "short",
            "Single submissions stored by one commit. 1 without load; grows with the load, at most "
            "JOBPROC_GROUP_COMMIT_MAX_JOBS.",
            Query(mean(metrics.COMMIT_JOBS), "mean"),
            Query(quantile(0.95, metrics.COMMIT_JOBS), "p95"),
        ),
        graph(
            "Wait for a commit",
            "s",
            "Time for which the first submission of a commit waited for it to begin: about the duration of the "
            "previous commit.",
            *(Query(quantile(share, metrics.COMMIT_WAIT), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
        ),
        graph(
            "Duration of a commit",
            "s",
            "Includes retries and their pauses. Normal is the time of a disk sync of the database, some milliseconds; "
            "a rise comes from the database.",
            *(Query(quantile(share, metrics.COMMIT_DURATION), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
        ),
    ),
)

DEPENDENCIES = Row(
    "Database and doorbells",
    (
        graph(
            "Connections",
            "short",
            "Connections in the pools of all pods: in use, and the limit. If all are in use for long, requests wait "
            "for one.",
            Query(total(metrics.POOL_CONNECTIONS, ["state"]), "{{state}}"),
        ),
        graph(
            "Requests in the pool",
            "short",
            "Requests that use a connection or wait for one, by lane. `expensive` (lists, previews, explanations, "
            "statistics) gets at most half of each pool. If `intake` or `by_id` wait for long, add API pods.",
            Query(total(metrics.LANE_REQUESTS, ["lane", "state"]), "{{lane}} {{state}}"),
        ),
        graph(
            "Refused for lack of a connection",
            "reqps",
            "Requests per second that got no connection, by lane. Normally 0.",
            Query(rate(metrics.LANE_REFUSED, ["lane"]), "{{lane}}"),
        ),
        graph(
            "Doorbells",
            "ops",
            "Doorbells of the API and the controllers per second by outcome: sent, coalesced (one is pending already), "
            "failed (Redis is unavailable). Failed is normally 0.",
            Query(rate(metrics.DOORBELLS, ["outcome"]), "{{outcome}}"),
        ),
        graph(
            "Reads of the issuer's keys",
            "short",
            "Reads of the OpenID provider's keys, if there is one, by outcome. While they fail, known keys stay valid "
            "for JOBPROC_OIDC_JWKS_OUTAGE_SECONDS. Failed is normally 0.",
            Query(increase(access_metrics.ISSUER_FETCHES, ["outcome"]), "{{outcome}}"),
        ),
        graph(
            "Age of the issuer's keys",
            "s",
            "Time since a pod has read the OpenID provider's keys. Pods that get no tokens read none.",
            Query(since(access_metrics.ISSUER_LAST_SUCCESS, ["pod"], ["pod"]), "{{pod}}"),
        ),
    ),
)


WAITING_CLIENTS = Row(
    "Waiting clients",
    (
        graph(
            "Waiting clients by pod",
            "short",
            "Clients that wait for the end of a job (result), or read an event stream (events). The limits of a "
            "process are JOBPROC_LONG_POLL_MAX_CLIENTS and JOBPROC_EVENT_STREAM_MAX_CLIENTS.",
            Query(total(metrics.WAITING_CLIENTS, ["kind", "pod"]), "{{kind}} {{pod}}"),
        ),
        graph(
            "Long polls by outcome",
            "ops",
            "Finished long polls per second. notified: through Redis, at once. polled: found within a second without a "
            "notification, as for jobs that the controller ended; many mean that Redis is unavailable. timeout: the "
            "time was up. disconnected: the client or the API left. rejected: above the limit, normally 0.",
            Query(rate(metrics.LONG_POLLS, ["outcome"]), "{{outcome}}"),
        ),
    ),
)

REFUSALS = Row(
    "Refusals",
    (
        graph(
            "Refused clients by reason",
            "ops",
            "Clients refused or closed per second, by the limit that they reached; normally 0. "
            "docs/operate/hardening.md and docs/operate/limits.md describe the limits.",
            Query(rate(metrics.REFUSALS, ["reason"]), "{{reason}}"),
        ),
        graph(
            "Irregular requests by reason",
            "ops",
            "Requests per second that were refused before any route got them, and offers of an upgrade, which are "
            "ignored. Many mean a broken client or an attack.",
            Query(rate(metrics.IRREGULAR_REQUESTS, ["reason"]), "{{reason}}"),
        ),
    ),
)


def text() -> str:
    """Return the dashboard."""
    return dashboard(
        "api",
        "API",
        "Requests, group commit, doorbells and connections of the API.",
        (NOW, REQUESTS, COMMITS, WAITING_CLIENTS, REFUSALS, DEPENDENCIES),
    )
