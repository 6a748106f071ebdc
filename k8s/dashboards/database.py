"""Database: sizes, dead rows, long-running transactions, slow statements."""

from common.telemetry import metrics
from k8s.dashboards.panels import Query, Row, dashboard, figure, graph
from k8s.dashboards.queries import deduplicated_sum, highest, increase, quantile, since, statements

NOW = Row(
    "Now",
    (
        figure(
            "Rows",
            "bytes",
            "Size of all tables without their indexes. Levels off once retention deletes as much as is added.",
            deduplicated_sum(metrics.TABLE_BYTES, part="rows"),
        ),
        figure(
            "Indexes",
            "bytes",
            "Size of the indexes of all tables. Grows and shrinks with the rows.",
            deduplicated_sum(metrics.TABLE_BYTES, part="indexes"),
        ),
        figure(
            "Dead rows of live",
            "short",
            "Estimated dead rows of the table of unfinished jobs that vacuum has not removed yet. Tens of thousands "
            "are normal under load.",
            highest(metrics.DEAD_ROWS, table="live"),
            warn=1_000_000,
        ),
        figure(
            "Oldest transaction",
            "s",
            "Age of the oldest open transaction on the server. Normal is below a second or two; a backup may take "
            "longer.",
            highest(metrics.OLDEST_TRANSACTION),
            warn=900,
        ),
        figure(
            "Commit, p99",
            "s",
            "Duration of the API's commits. Normal is the time of a disk sync, some milliseconds.",
            quantile(0.99, metrics.COMMIT_DURATION),
            warn=1,
        ),
        figure(
            "Failed reads",
            "short",
            "Scrapes in which the database could not be read. Normal is 0.",
            increase(metrics.SCRAPE_ERRORS),
            warn=1,
        ),
    ),
)

SIZES = Row(
    "Sizes",
    (
        graph(
            "Rows by table",
            "bytes",
            "jobs, outcomes, attempts and tags grow with the submissions and level off after JOBPROC_RETENTION_DAYS, "
            "idempotency_keys after JOBPROC_IDEMPOTENCY_SECONDS. The others stay small.",
            Query(deduplicated_sum(metrics.TABLE_BYTES, ["table"], part="rows"), "{{table}}"),
            stacked=True,
        ),
        graph(
            "Indexes by table",
            "bytes",
            "The indexes of live grow with a backlog, and do not shrink by themselves. If they are far above the rows "
            "of live while no job waits, they are bloated.",
            Query(deduplicated_sum(metrics.TABLE_BYTES, ["table"], part="indexes"), "{{table}}"),
            stacked=True,
        ),
        graph(
            "Age of controller tasks",
            "s",
            "Time since each task of the leader last succeeded. Normal is JOBPROC_RETENTION_CHECK_SECONDS for "
            "retention and ten minutes for partitions. Far above that, tables keep growing, and later submissions fail "
            "without a partition.",
            Query(since(metrics.TASK_LAST_SUCCESS, ["namespace"], ["task"]), "{{task}}"),
            width=24,
        ),
    ),
)

VACUUM = Row(
    "Vacuum",
    (
        graph(
            "Dead rows by table",
            "short",
            "Estimated dead rows that vacuum has not removed yet. Those of live normally rise and fall; if they only "
            "rise, vacuum is blocked.",
            Query(highest(metrics.DEAD_ROWS, ["table"]), "{{table}}"),
        ),
        graph(
            "Oldest transaction",
            "s",
            "While it is open, vacuum cannot remove rows that died since, and claims get slower. Normal is a second or "
            "two. Sessions of other users are visible only with the role pg_monitor.",
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
            "Seconds of the server per second, the ten highest. Normally a few statements of claims and submissions "
            "lead. Needs postgres_exporter with --collector.stat_statements.",
            Query(statements("pg_stat_statements_seconds_total"), "{{queryid}}"),
        ),
        graph(
            "Calls by statement",
            "ops",
            "Executions of each statement per second, the ten highest. Needs postgres_exporter with "
            "--collector.stat_statements.",
            Query(statements("pg_stat_statements_calls_total"), "{{queryid}}"),
        ),
    ),
)


def text() -> str:
    """Return the dashboard."""
    return dashboard(
        "database",
        "database",
        "Sizes, dead rows, long-running transactions and slow statements.",
        (NOW, SIZES, VACUUM, STATEMENTS),
    )
