"""SQL that statements of the API and of the controller share: inserts of jobs, and checks of rows of `live`."""

from collections.abc import Mapping

import orjson

from common.domain.job import NewJob, Options
from common.domain.workflows import Dependencies
from common.store.connection.caller import caller_cte
from common.store.jobs.running_keys import MUST_WAIT, MUST_WAIT_FOR_PLACE
from common.store.retention.first_check import FIRST_CHECK_AT
from common.store.schema.batch_of_job import BATCH_OF

#: `live.needs`: the operation and version that a worker must know, in the form of `common.domain.job.needs`.
NEEDS = "CASE {version} WHEN 1 THEN {operation} ELSE {operation} || '@' || {version} END"

# A manual retry's input may be of a newer version than the submitted input. A run with it needs the newest version.
NEWEST_VERSION = "greatest(j.version, (SELECT o.version FROM operations o WHERE o.name = j.operation))"
#: The version that the next run of job j needs with the input that the job has.
NEXT_RUN_VERSION = f"""CASE WHEN EXISTS (SELECT FROM runs r WHERE r.id = j.id AND r.input IS NOT NULL)
    THEN {NEWEST_VERSION} ELSE j.version END"""

#: True if the job has an input: the submitted one, or that of a manual retry.
HAS_INPUT = """(EXISTS (SELECT FROM jobs WHERE jobs.id = {id} AND jobs.input IS NOT NULL)
    OR EXISTS (SELECT FROM runs WHERE runs.id = {id} AND runs.input IS NOT NULL))"""

#: True if the job had no manual retry. Then its deadline counts, and it holds a `waiting` key until its first attempt.
#: OFFSET 0 keeps the look-up by id.
ORIGINAL_RUN = "({row}.run = 0 OR NOT EXISTS (SELECT FROM runs r WHERE r.id = {row}.id AND NOT r.undo OFFSET 0))"

#: `live.claimable_at` of another run of job j: it waits for its parents first.
NEXT_RUN_AT = "CASE WHEN j.parents IS NULL THEN clock_timestamp() ELSE 'infinity' END"

#: `live.running_key` of job j: the unique key that it holds while it runs.
RUNNING_KEY = "CASE j.unique_while WHEN 'running' THEN j.unique_key END"

#: True if the live row l of job j holds the job's unique key.
HOLDS_UNIQUE_KEY = f"(j.unique_while = 'both' OR (l.attempt = 0 AND {ORIGINAL_RUN.format(row='l')}))"

#: A CTE: the batches of the jobs that `new` puts into `live` again. Their counts are read from the rows again. It locks
#: the row of a batch, so it is exact beside the controller, which looks for live jobs after it has locked the row.
REACTIVATED_BATCHES = f"""reactivated AS (
    UPDATE batches SET retried = true, failed = NULL, cancelled = NULL, rev = batches.rev + 1,
                       place = least(batches.place, again_in.id)
    FROM (SELECT {BATCH_OF.format(id="new.id")} AS batch, (array_agg(new.id ORDER BY new.id))[1] AS id, new.tenant
          FROM new GROUP BY 1, 3) AS again_in
    WHERE batches.id = again_in.batch AND batches.tenant = again_in.tenant AND again_in.id <= batches.last)"""

# --- inserts of jobs

NAMES = (
    *("id", "operation", "queue", "input", "max_attempts", "timeout_ms", "priority", "trace", "version", "tenant"),
    "submitted_by",
)
_ARRAYS = f"""unnest($1::uuid[], $2::text[], $3::text[], $4::json[], $5::smallint[], $6::integer[], $7::smallint[],
                    $8::text[], $9::smallint[], $10::integer[], $11::text[])
    AS d({", ".join(NAMES)})"""
_TYPES = """id uuid, operation text, queue text, input text, max_attempts smallint, timeout_ms integer,
    priority smallint, trace text, version smallint, tenant integer, submitted_by text, run_at timestamptz,
    delay_s float8, retry_base_s float8, retry_cap_s float8, keep_s integer, deadline timestamptz, tags text[],
    metadata json, unique_key text, unique_while text, concurrency_key text, webhook uuid"""
_NODE_TYPES = "node text, on_parent_failure text, parents uuid[], children uuid[], joins uuid[]"
RECORDS = f"json_to_recordset({{jobs}}) AS d({_TYPES})"
_NODE_RECORDS = f"json_to_recordset({{jobs}}) AS d({_TYPES}, {_NODE_TYPES})"
#: A row of `job_row` in a column of the type json.
RECORD = f"json_to_record({{row}}) AS d({_TYPES})"
_REQUIRED = {name: f"d.{name}" for name in NAMES}
_OPTIONAL = {
    name: f"d.{name}"
    for name in (
        *("retry_base_s", "retry_cap_s", "keep_s", "deadline", "tags", "metadata", "unique_key", "unique_while"),
        *("concurrency_key", "webhook"),
    )
}
# Rows of other tables for options that few jobs have.
SIDE_TABLES = f""",
deadline_rows AS (
    INSERT INTO deadlines (id, tenant, at) SELECT id, tenant, deadline FROM new WHERE deadline IS NOT NULL),
tag_rows AS (INSERT INTO tags (id, tenant, tag) SELECT id, tenant, unnest(tags) FROM new WHERE tags IS NOT NULL),
expiry_rows AS (
    INSERT INTO expiries (id, tenant, at) SELECT id, tenant, {FIRST_CHECK_AT} FROM new WHERE keep_s IS NOT NULL)"""


_NEEDS = NEEDS.format(operation="operation", version="version")
LIVE = f"""
    INSERT INTO live (id, tenant, queue, priority, max_attempts, claimable_at, needs)
    SELECT id, tenant, queue, priority, max_attempts, greatest(run_at, clock_timestamp()),
           {_NEEDS}
    FROM new
"""
# Jobs that have to wait for a key that is held while they run are parked at once, so they cost one write. Those that
# wait for parents have no place among the jobs of their key before they are unblocked.
_LIVE_WITH_RUNNING_KEYS = f""",
    keyed AS MATERIALIZED (
        SELECT id, tenant, queue, priority, max_attempts, {_NEEDS} AS needs,
               greatest(run_at, clock_timestamp()) AS due_at,
               {{not_blocked}}coalesce(run_at <= clock_timestamp(), true) AS is_due,
               CASE unique_while WHEN 'running' THEN unique_key END AS running_key, concurrency_key{{parents}}
        FROM new),
    placed AS MATERIALIZED (
        SELECT d.*, {MUST_WAIT} OR {MUST_WAIT_FOR_PLACE} AS must_wait
        FROM (SELECT *, row_number() OVER (
                  PARTITION BY tenant, running_key, queue, needs, is_due, concurrency_key
                  ORDER BY priority, due_at, id) AS place
              FROM keyed) d)
    INSERT INTO live (id, tenant, queue, priority, max_attempts, claimable_at, needs, running_key, due_since,
                      concurrency_key)
    SELECT id, tenant, queue, priority, max_attempts, CASE WHEN must_wait{{or_blocked}} THEN 'infinity' ELSE due_at END,
           needs, running_key, CASE WHEN must_wait THEN due_at END, concurrency_key
    FROM placed
"""


def new_jobs(source: str, values: Mapping[str, str], returned: str = "") -> str:
    """Return the CTE `new`, which inserts the rows d of a source into `jobs`.

    The caller chooses the ids, so a repeat after a lost answer inserts nothing: `live` gets rows for those of `new`.
    """
    return f"""new AS (
        INSERT INTO jobs ({", ".join(values)}) SELECT {", ".join(values.values())} FROM {source}
        ON CONFLICT (id) DO NOTHING
        RETURNING id, tenant, queue, priority, max_attempts, run_at, operation, version, deadline, tags,
                  keep_s{returned})"""


def _insert_statement(
    tenants: str, rows: str, values: Mapping[str, str], side_tables: str = "", live: str = LIVE, returned: str = ""
) -> str:
    return f"""
    WITH {caller_cte(tenants)},
    {new_jobs(f"caller CROSS JOIN {rows}", values, returned)}
        {side_tables}{live}"""


INSERT = _insert_statement("$12", _ARRAYS, _REQUIRED)
_RUN_AT = "coalesce(d.run_at, clock_timestamp() + d.delay_s * interval '1 s')"
COLUMNS = _REQUIRED | _OPTIONAL | {"input": "d.input::json", "created_at": "clock_timestamp()", "run_at": _RUN_AT}
INSERT_WITH_OPTIONS = _insert_statement("{tenants}", RECORDS, COLUMNS, SIDE_TABLES)
INSERT_WITH_RUNNING_KEYS = _insert_statement(
    "{tenants}",
    RECORDS,
    COLUMNS,
    SIDE_TABLES,
    _LIVE_WITH_RUNNING_KEYS.format(not_blocked="", parents="", or_blocked=""),
    ", unique_key, unique_while, concurrency_key",
)
_NODE_COLUMNS = {name: f"d.{name}" for name in ("node", "on_parent_failure", "parents", "children", "joins")}
#: Jobs of workflows.
INSERT_NODES = _insert_statement(
    "{tenants}",
    _NODE_RECORDS,
    COLUMNS | _NODE_COLUMNS,
    SIDE_TABLES,
    _LIVE_WITH_RUNNING_KEYS.format(
        not_blocked="parents IS NULL AND ", parents=", parents", or_blocked=" OR parents IS NOT NULL"
    ),
    ", unique_key, unique_while, concurrency_key, parents",
)


def job_row(job: NewJob) -> dict[str, object]:
    """Return a job as a row of RECORDS."""
    plain = {name: getattr(job, name) for name in NAMES}
    return plain if job.options is None else plain | _options_row(job.options)


def _options_row(options: Options) -> dict[str, object]:
    unique = options.unique
    return {
        "run_at": options.run_at and options.run_at.isoformat(),
        "delay_s": options.delay_s,
        "retry_base_s": options.retry_base_s,
        "retry_cap_s": options.retry_cap_s,
        "keep_s": options.keep_s,
        "deadline": options.deadline and options.deadline.isoformat(),
        "tags": list(options.tags) or None,
        "metadata": None if options.metadata is None else orjson.Fragment(options.metadata),
        "unique_key": unique and unique.key,
        "unique_while": unique and unique.held_while,
        "webhook": options.webhook and str(options.webhook),
        "concurrency_key": options.concurrency_key,
    } | ({} if options.dependencies is None else _node_row(options.dependencies))


def _node_row(dependencies: Dependencies) -> dict[str, object]:
    return {
        "node": dependencies.node,
        "on_parent_failure": dependencies.on_parent_failure,
        "parents": dependencies.parents or None,
        "children": dependencies.children or None,
        "joins": dependencies.joins or None,
    }
