"""What statements share that let a job live, again or on; of the API and of the controller."""

#: What a worker has to know, as `common.domain.job.needs` says it.
NEEDS = "CASE {version} WHEN 1 THEN {operation} ELSE {operation} || '@' || {version} END"

# What the last epochs ran with may be of a newer version than what was submitted: then that of today is needed.
NEWEST_VERSION = "greatest(j.version, (SELECT o.version FROM operations o WHERE o.name = j.operation))"
#: The version that a further epoch of job j needs with the input that it has.
NEXT_RUN_VERSION = f"CASE WHEN EXISTS (SELECT FROM reruns r WHERE r.id = j.id AND r.input IS NOT NULL) THEN {NEWEST_VERSION} ELSE j.version END"

#: Whether the input of a job is there: the one that it was submitted with, or one that a retry brought.
HAS_INPUT = """(EXISTS (SELECT FROM jobs WHERE jobs.id = {id} AND jobs.input IS NOT NULL)
    OR EXISTS (SELECT FROM reruns WHERE reruns.id = {id} AND reruns.input IS NOT NULL))"""

#: Whether a job goes on as it was submitted: never retried by request. Its deadline counts, and its key until its first attempt.
#: OFFSET 0 keeps the look-up by id.
ORIGINAL_RUN = "({of}.epoch = 0 OR NOT EXISTS (SELECT FROM reruns r WHERE r.id = {of}.id AND NOT r.undo OFFSET 0))"

#: Whether a live row l and its job j hold the job's unique key.
HOLDS_UNIQUE_KEY = f"(j.unique_while = 'both' OR (l.attempt = 0 AND {ORIGINAL_RUN.format(of='l')}))"
