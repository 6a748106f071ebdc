"""SQL of jobs that wait for others, which statements of `jobs` include."""

#: True if a live row l waits for other jobs. A job that is parked for a key has `due_since`.
BLOCKED = "l.claimable_at = 'infinity' AND l.due_since IS NULL"

#: The links of job j, as `links_of` reads them: few bytes, because JSON would cost a worker 4 us more a job.
LINKS = """'n' || CASE WHEN j.parents IS NULL THEN '' ELSE 'p' END || CASE WHEN j.children IS NULL THEN '' ELSE 'c' END
        || coalesce(j.joins::text, '{}')"""

#: A CTE for a settle, after `mine`: it unblocks the jobs that waited for one of its jobs alone. Nobody else decides
#: about them, so it needs no lock but theirs. $8: jobs that add others, for which those wait too. `claimable_at` is
#: now(), so that a claim in the same transaction finds them. Rows are locked in the order of their ids: an index scan
#: reads an array in order.
UNBLOCKED_CHILDREN = """unblocked AS (
    UPDATE live SET claimable_at = now(), rev = live.rev + 1
    WHERE live.claimable_at = 'infinity' AND live.due_since IS NULL AND live.id = ANY (ARRAY(
        SELECT child.id FROM mine
        CROSS JOIN LATERAL (SELECT children FROM jobs WHERE jobs.id = mine.id OFFSET 0) j
        CROSS JOIN LATERAL unnest(j.children) AS child(id)
        WHERE NOT mine.cancel_requested AND mine.id <> ALL ($8)))
    RETURNING queue)"""

#: Of job j: its parents with those that its workflow has gained since its submission.
ALL_PARENTS = """j.parents || (
    SELECT array_agg(parent.id) FROM added_parents a CROSS JOIN LATERAL unnest(a.parents) AS parent(id)
    WHERE a.child = j.id)"""

#: Of job j: when the last of its parents has ended, of those that have. NULL: none has, or it has no parents.
PARENTS_ENDED_AT = f"""(
    SELECT max(o.finished_at) FROM unnest({ALL_PARENTS}) AS parent(id)
    CROSS JOIN LATERAL (
        SELECT finished_at FROM outcomes WHERE outcomes.id = parent.id ORDER BY run DESC LIMIT 1) o)"""
