"""Previews: the count, samples of the jobs, and the number of those that the action would leave as they are."""

from dataclasses import dataclass

from sqlalchemy import Connection

from common.domain.bulk_actions import ActionKind, SkipReason
from common.domain.job_search import JobSearch
from common.store.jobs.fragments import HAS_INPUT, HOLDS_UNIQUE_KEY
from common.store.listing import index_scan
from common.store.listing.index_scan import PAGE_STATEMENTS, ScanLimits
from common.store.tenancy.only_tenant import is_indexed

SAMPLE = 10  # jobs of each sample
MAX_CHECKED = 1_000  # matching jobs, the oldest ones, of which the preview tells whether a retry would change them
NEWEST_SHARE = 10  # where the scan has not reached the newest jobs, another one reads a tenth of its rows from there

_SHOWN = "id AS job_id, status, operation"
#: True if another unfinished job holds a unique key of job j. An action that finds two jobs with a key retries one.
KEY_IS_HELD = f"""EXISTS (
    SELECT FROM unique_keys u CROSS JOIN LATERAL (
        SELECT FROM live l JOIN jobs other ON other.id = l.id
        WHERE l.id = u.id AND l.id <> {{id}} AND {HOLDS_UNIQUE_KEY.replace("j.", "other.")} OFFSET 0) held
    WHERE u.tenant = {{tenant}} AND u.key = {{key}})"""
# $17 is the kind of the action, $18 its priority.
_PREVIEW = f""",
checked AS MATERIALIZED (
    SELECT c.id, c.n, c.priority FROM page c ORDER BY c.n
    LIMIT CASE $17::text WHEN '{ActionKind.CANCEL}' THEN 0 WHEN '{ActionKind.RETRY}' THEN {MAX_CHECKED} END),
keyed AS MATERIALIZED (
    SELECT c.*, k.unique_key, row_number() OVER (PARTITION BY k.unique_key ORDER BY c.n) AS place
    FROM checked c
    LEFT JOIN LATERAL (
        SELECT unique_key FROM jobs
        WHERE $17 = '{ActionKind.RETRY}' AND jobs.id = c.id AND jobs.unique_while = 'both' OFFSET 0) k ON true),
skipped AS (
    SELECT CASE WHEN $17 = '{ActionKind.REPRIORITISE}'
                THEN CASE WHEN c.priority = $18::int THEN '{SkipReason.UNCHANGED}' END
                WHEN NOT {HAS_INPUT.format(id="c.id")} THEN '{SkipReason.INPUT_REMOVED}'
                WHEN c.unique_key IS NOT NULL
                     AND (c.place > 1 OR {KEY_IS_HELD.format(id="c.id", tenant="$13", key="c.unique_key")})
                THEN '{SkipReason.UNIQUE_CONFLICT}' END AS reason
    FROM keyed c)
SELECT (SELECT count(*) FROM page) AS count,
       (SELECT coalesce(max(n), 0) FROM walked) AS scanned,
       (SELECT count(*) FROM checked) AS checked,
       (SELECT coalesce(json_agg(s), '[]') FROM (
           SELECT {_SHOWN} FROM page ORDER BY n LIMIT {SAMPLE}) s)::text AS oldest,
       (SELECT coalesce(json_agg(s), '[]') FROM (
           SELECT {_SHOWN} FROM page ORDER BY n DESC LIMIT {SAMPLE}) s)::text AS newest,
       (SELECT coalesce(json_agg(s), '[]') FROM (
           SELECT {_SHOWN} FROM page ORDER BY random() LIMIT {SAMPLE}) s)::text AS random,
       (SELECT coalesce(json_object_agg(reason, number), '{{}}') FROM (
           SELECT reason, count(*) AS number FROM skipped WHERE reason IS NOT NULL GROUP BY reason) r)::text AS skipped
"""
_NEWEST = f"""
SELECT coalesce(json_agg(s), '[]')::text FROM (SELECT {_SHOWN} FROM page ORDER BY n LIMIT {SAMPLE}) s
"""


@dataclass(frozen=True, slots=True)
class Preview:
    """The result of a scan."""

    count: int  #: matching jobs among the scanned rows
    scanned: int  #: rows
    is_complete: bool  #: False: the limit ended the scan
    sample: str  #: the oldest jobs, a JSON array
    details: str  #: JSON: the samples `newest` and `random`, `would_skip` by reason, and if that is exact


def scan(
    connection: Connection, tenant: int, search: JobSearch, kind: ActionKind, priority: int | None, limits: ScanLimits
) -> Preview:
    """Scan a tenant's jobs, oldest first, and return what the preview of an action shows.

    `limits.jobs` must be `limits.scanned`. Needs a transaction with SET_INDEX_SCAN_PLANS.
    """
    indexed = is_indexed(tenant)
    arguments = (*index_scan.scan_arguments(tenant, search, None, limits), kind, priority)
    row = (
        connection.exec_driver_sql(PAGE_STATEMENTS[search.index, False, indexed] + _PREVIEW, arguments).mappings().one()
    )
    is_complete = row["scanned"] < limits.scanned
    newest = row["newest"] if is_complete else _newest(connection, tenant, search, limits)
    is_exact = is_complete and (kind is ActionKind.CANCEL or row["checked"] == row["count"])
    details = (
        f'{{"newest":{newest},"random":{row["random"]},"would_skip":{row["skipped"]},'
        f'"would_skip_is_exact":{"true" if is_exact else "false"}}}'
    )
    return Preview(row["count"], row["scanned"], is_complete, row["oldest"], details)


def _newest(connection: Connection, tenant: int, search: JobSearch, limits: ScanLimits) -> str:
    few = ScanLimits(SAMPLE, max(SAMPLE + 1, limits.scanned // NEWEST_SHARE), limits.skew_s)
    statement = PAGE_STATEMENTS[search.index, True, is_indexed(tenant)] + _NEWEST
    arguments = index_scan.scan_arguments(tenant, search, None, few)
    found: str = connection.exec_driver_sql(statement, arguments).scalar_one()
    return found
