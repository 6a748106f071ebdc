"""SQL fragments shared by statements of the API and of the controller that insert into `live` or check its rows."""

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
