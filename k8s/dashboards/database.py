"""The database as jobproc sees it: sizes, dead rows, old transactions, slow statements."""

from common.telemetry import metrics
from k8s.dashboards.foreign import statements
from k8s.dashboards.panels import Query, Row, dashboard, figure, graph
from k8s.dashboards.queries import highest, increase, quantile, since, told

NOW = Row(
    "Now",
    (
        figure(
            "Rows",
            "bytes",
            "Size of all tables without their indexes. Levels off once retention removes as much as comes.",
            told(metrics.TABLE_BYTES, of="rows"),
        ),
        figure("Indexes", "bytes", "Size of the indexes of all tables. Grows and falls with the rows.", told(metrics.TABLE_BYTES, of="indexes")),
        figure(
            "Dead rows of live",
            "short",
            "Rows of the table of unfinished jobs that vacuum has not taken yet, estimated. Tens of thousands are normal under load.",
            highest(metrics.DEAD_ROWS, table="live"),
            warn=1_000_000,
        ),
        figure(
            "Oldest transaction",
            "s",
            "Age of the oldest open transaction on the server. Normal is below a second or two; a backup may take longer.",
            highest(metrics.OLDEST_TRANSACTION),
            warn=900,
        ),
        figure(
            "Commit, p99",
            "s",
            "Duration of the API's commits. Normal is what the disk takes to sync, some milliseconds.",
            quantile(0.99, metrics.COMMIT_DURATION),
            warn=1,
        ),
        figure("Reads that failed", "short", "Scrapes in which the database could not be read. Normal is 0.", increase(metrics.SCRAPE_ERRORS), warn=1),
    ),
)

SIZES = Row(
    "Sizes",
    (
        graph(
            "Rows by table",
            "bytes",
            "jobs, outcomes, attempts and tags grow with what is submitted and level off after JOBPROC_RETENTION_DAYS, keys after "
            "JOBPROC_IDEMPOTENCY_SECONDS. The others stay small.",
            Query(told(metrics.TABLE_BYTES, ["table"], of="rows"), "{{table}}"),
            stacked=True,
        ),
        graph(
            "Indexes by table",
            "bytes",
            "The indexes of live grow with a backlog, and do not shrink by themselves. Far above the rows of live while nothing waits: they are bloated.",
            Query(told(metrics.TABLE_BYTES, ["table"], of="indexes"), "{{table}}"),
            stacked=True,
        ),
        graph(
            "Age of retention and partitions",
            "s",
            "Since the leader last looked at retention (JOBPROC_RETENTION_CHECK_SECONDS) and made partitions (ten minutes). Far above that, sizes "
            "grow on, and later submissions fail for want of a partition.",
            Query(since(metrics.TASK_LAST_SUCCESS, ["namespace"], ["duty"]), "{{duty}}"),
            width=24,
        ),
    ),
)

CLEANING = Row(
    "Cleaning",
    (
        graph(
            "Dead rows by table",
            "short",
            "Rows that died and that vacuum has not taken yet, estimated. live goes up and down, that is normal; only up means that vacuum is held back.",
            Query(highest(metrics.DEAD_ROWS, ["table"]), "{{table}}"),
        ),
        graph(
            "Oldest transaction",
            "s",
            "While it is open nothing that died since can be cleaned up, and claims get slower. Normal is a second or two. "
            "Sessions of other users are seen only with the role pg_monitor.",
            Query(highest(metrics.OLDEST_TRANSACTION), "oldest"),
            warn=900,
        ),
    ),
)

STATEMENTS = Row(
    "Statements",
    (
        graph(
            "Time by statement",
            "s",
            "Seconds of the server each second, the ten highest. Normal is a few statements of claims and submissions in front. "
            "Needs postgres_exporter with --collector.stat_statements.",
            Query(statements("pg_stat_statements_seconds_total"), "{{queryid}}"),
        ),
        graph(
            "Calls by statement",
            "ops",
            "How often each is run, the ten highest. Needs postgres_exporter with --collector.stat_statements.",
            Query(statements("pg_stat_statements_calls_total"), "{{queryid}}"),
        ),
    ),
)


def text() -> str:
    """Return the dashboard."""
    return dashboard("database", "database", "Sizes, dead rows, old transactions and slow statements.", (NOW, SIZES, CLEANING, STATEMENTS))
