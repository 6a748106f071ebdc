"""The API: requests, group commit, doorbells, connections."""

from common.telemetry import metrics
from k8s.dashboards.panels import Query, Row, dashboard, figure, graph
from k8s.dashboards.queries import mean, observed, quantile, rate, total

SUBMIT = "/jobs(/batch)?"
ERRORS = f"({rate(metrics.HTTP_REQUESTS, status='5..')} or vector(0)) / {rate(metrics.HTTP_REQUESTS)}"
SUBMIT_ERRORS = (
    f"({rate(metrics.HTTP_REQUESTS, method='POST', route=SUBMIT, status='5..')} or vector(0)) / {rate(metrics.HTTP_REQUESTS, method='POST', route=SUBMIT)}"
)

NOW = Row(
    "Now",
    (
        figure("Requests", "reqps", "Requests that were answered, each second.", rate(metrics.HTTP_REQUESTS)),
        figure(
            "Submissions refused",
            "percentunit",
            "Share of POST /jobs/ and /jobs/batch that ended with 5xx. The objective is below 0.1 %. 503 means that the database was away or the API was full.",
            SUBMIT_ERRORS,
            warn=0.001,
        ),
        figure(
            "Submit, p99",
            "s",
            "Duration of a submission, its commit included. Normal is tens of milliseconds.",
            quantile(0.99, metrics.HTTP_DURATION, method="POST", route=SUBMIT),
            warn=1,
        ),
        figure(
            "In progress",
            "short",
            "Requests that are being answered. A few at a time; a rise means that the database is slow.",
            total(metrics.HTTP_IN_PROGRESS),
        ),
        figure("Jobs accepted", "ops", "Jobs whose commit stood, each second; a batch has many in one request.", rate(metrics.JOBS_ACCEPTED)),
        figure(
            "Doorbells failed",
            "ops",
            "Doorbells that Redis did not take, each second. Normal is 0. Jobs are stored all the same, and start about a tick later.",
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
            "Requests that were answered, by method and template of the route; `other` is a path that is no route.",
            Query(rate(metrics.HTTP_REQUESTS, ["method", "route"]), "{{method}} {{route}}"),
            stacked=True,
        ),
        graph(
            "Rate by status",
            "reqps",
            "200 and 202 are normal. 404 is a poll for a job that is not there, 422 a bad submission, 503 a database that is away or an API that is full.",
            Query(rate(metrics.HTTP_REQUESTS, ["status"]), "{{status}}"),
            stacked=True,
        ),
        graph(
            "Share of 5xx",
            "percentunit",
            "Of all requests, and of submissions. Normal is 0; the objective for submissions is below 0.1 %.",
            Query(ERRORS, "all"),
            Query(SUBMIT_ERRORS, "submissions"),
            warn=0.001,
        ),
        graph(
            "In progress by pod",
            "short",
            "Requests that are being answered. One pod far above the others has a connection that does not spread, or is starved.",
            Query(total(metrics.HTTP_IN_PROGRESS, ["pod"]), "{{pod}}"),
        ),
        graph(
            "Duration",
            "s",
            "From the first byte of a request to the last of its answer, all routes. Normal is milliseconds for reads, a commit for submissions.",
            *(Query(quantile(share, metrics.HTTP_DURATION), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
        ),
        graph(
            "Duration by route, p95",
            "s",
            "Which route is slow. /jobs/batch grows with the size of a batch.",
            Query(quantile(0.95, metrics.HTTP_DURATION, ["method", "route"]), "{{method}} {{route}}"),
        ),
    ),
)

COMMITS = Row(
    "Group commit",
    (
        graph(
            "Commits",
            "ops",
            "Commits of single submissions, each second. Stays about the same under load while each takes more jobs.",
            Query(observed(metrics.COMMIT_JOBS), "commits"),
        ),
        graph(
            "Jobs a commit",
            "short",
            "Single submissions that one commit took together. 1 when quiet; grows with load, at most JOBPROC_FLUSH_JOBS.",
            Query(mean(metrics.COMMIT_JOBS), "mean"),
            Query(quantile(0.95, metrics.COMMIT_JOBS), "p95"),
        ),
        graph(
            "Wait for a commit",
            "s",
            "How long the first submission of a commit waited for it to begin: about as long as the commit before took.",
            *(Query(quantile(share, metrics.COMMIT_WAIT), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
        ),
        graph(
            "Duration of a commit",
            "s",
            "Tries and pauses included. Normal is what the disk of the database takes to sync, some milliseconds; a rise is the database's.",
            *(Query(quantile(share, metrics.COMMIT_DURATION), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
        ),
    ),
)

NEIGHBOURS = Row(
    "Database and doorbells",
    (
        graph(
            "Connections",
            "short",
            "Connections of all pods' pools: used, and the most that there may be. All used for long means that requests wait for one.",
            Query(total(metrics.POOL_CONNECTIONS, ["state"]), "{{state}}"),
        ),
        graph(
            "Doorbells",
            "ops",
            "Of the API and the controllers: rang, unanswered (one waits already, so none was needed), failed (Redis is away). Failed is normally 0.",
            Query(rate(metrics.DOORBELLS, ["outcome"]), "{{outcome}}"),
        ),
    ),
)


WAITING = Row(
    "Clients that wait",
    (
        graph(
            "Waiting by pod",
            "short",
            "Clients that wait for the end of a job (result), or read what happens to one (events). "
            "The bounds a process are JOBPROC_MAX_WAITING_CLIENTS and JOBPROC_MAX_EVENT_STREAMS.",
            Query(total(metrics.WAITING_CLIENTS, ["for", "pod"]), "{{for}} {{pod}}"),
        ),
        graph(
            "Waits by their end",
            "ops",
            "Told: through Redis, at once. Looked: found within a second without, as for jobs that the controller ended; many mean that Redis is away. "
            "Time: it was up. Refused: more than the bound, normally 0.",
            Query(rate(metrics.LONG_POLLS, ["outcome"]), "{{outcome}}"),
        ),
    ),
)


def text() -> str:
    """Return the dashboard."""
    return dashboard("api", "API", "Requests, group commit, doorbells and connections of the API.", (NOW, REQUESTS, COMMITS, WAITING, NEIGHBOURS))
