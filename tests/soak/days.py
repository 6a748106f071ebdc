"""Simulated days: retention removes whole days, and no soak test lasts for two."""

from rig.system import Database

from common.store.schema.partitions import DAY_MS, TABLES, Period

COPIED = 5_000  # finished jobs of the last minute that become a day of the past
FIRST_DAY = 3  # days ago; retention is one day

_HEX = "translate({0}::text, '-', '')"
_TIME_MS = f"('x' || left({_HEX}, 12))::bit(48)::bigint"
_ID = f"(lpad(to_hex({_TIME_MS} - {{1}}), 12, '0') || substr({_HEX}, 13))::uuid"
_COLUMNS = {
    "jobs": "created_at, run_at, timeout_ms, priority, max_attempts, queue, operation, input",
    "outcomes": (
        "run, attempt, released, rev, worker, started_at, finished_at - interval '{days} days', status,"
        " result, error_type, error_text"
    ),
    "attempts": "run, attempt, worker, started_at, finished_at, retry_at, outcome, error_type, error_text",
    "tags": "tag",
    "job_logs": "run, attempt, last_line, total_bytes, lines",
}
_NOW_MS = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


def pass_a_day(database: Database, number: int) -> Period:
    """Create a partition of the past with copies of jobs that just finished, for the controller to remove.

    `number`: 0, then 1 and so on. The rows of worker processes that have ended age too.
    """
    days = FIRST_DAY + number
    now_ms = int(database.value(_NOW_MS))
    start = (now_ms // DAY_MS - days) * DAY_MS
    period = Period(start, start + DAY_MS)
    first, after = period.bounds
    since, _ = Period(max(now_ms - 60_000, start + days * DAY_MS), now_ms).bounds
    copy_recent = (
        f"CREATE TEMP TABLE copied ON COMMIT DROP AS SELECT id FROM outcomes"
        f" WHERE id >= '{since}' AND run = 0 ORDER BY id LIMIT {COPIED}"
    )
    commands = [copy_recent]
    for table in TABLES:
        name, columns = f"{table}_{period.suffix}", _COLUMNS[table].format(days=days)
        names = columns.replace(f" - interval '{days} days'", "")
        copied = "id IN (SELECT id FROM copied)"
        past_id = _ID.format("id", days * DAY_MS)
        commands += [
            f"SELECT create_partition('{table}', '{period.suffix}', '{first}', '{after}')",
            f"INSERT INTO {name} (id, {names}) SELECT {past_id}, {columns} FROM {table} WHERE {copied}",
        ]
    commands.append(
        "UPDATE workers SET ended_at = ended_at - interval '2 days'"
        " WHERE ended_at > clock_timestamp() - interval '1 day'"
    )
    database.rows("BEGIN; " + "; ".join(commands) + "; COMMIT")
    return period
