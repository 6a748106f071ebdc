"""An extreme: many jobs are past a time of their own at once, and go one by one beside a load."""

import statistics
from typing import Any

from tests.benchmarks.disturbances import Scene
from tests.benchmarks.limits import ended
from tests.benchmarks.measure import wait_until
from tests.benchmarks.run import load
from tests.benchmarks.setting import Figure, Stage

AT_ONCE = 100_000  # made by one statement
MADE = """
WITH new AS (
    INSERT INTO jobs (id, operation, queue, input, max_attempts, keep_s)
    SELECT uuidv7(), 'square_sum', 'default', '{"data":[1,2,3]}', 3, 1 FROM generate_series(1, %s) RETURNING id),
done AS (
    INSERT INTO outcomes (id, epoch, attempt, released, rev, worker, started_at, finished_at, status, result)
    SELECT id, 0, 1, 0, 2, 1, now(), now() - interval '1 hour', 'SUCCESS', '14.0' FROM new)
INSERT INTO expiries (id, at) SELECT id, 'infinity' FROM new
"""
DUE = "UPDATE expiries SET at = clock_timestamp() WHERE at = 'infinity'"
LEFT = "SELECT count(*) FROM expiries"


def expired(stage: Stage) -> list[Figure]:
    """Return what a load is while they go, to that before and after it."""
    options = stage.options
    with stage.scene() as there:

        def loaded() -> dict[str, Any]:
            return load(there.port, options.clients, options.seconds)

        loaded()  # warms up
        without = [loaded()]
        _make(there, options.expired)
        before = _left(there)
        beside = loaded()
        left = _left(there)
        wait_until("all have gone", lambda: _left(there) == 0, 60 + left / 100)
        without.append(loaded())
        accepted = sum(one["accepted"] for one in [*without, beside])
        unfinished = ended(there, accepted)[0]
    removed = (before - left) / options.seconds

    def ratio(figure: str) -> float:
        return float(beside[figure] / statistics.mean(one[figure] for one in without))

    return [
        Figure("accepted POST/s without", statistics.mean(one["post_s"] for one in without)),
        Figure("accepted POST/s to that without", ratio("post_s"), least=0.9),
        Figure("p99 of POST to that without", ratio("p99_ms"), most=2.0),
        Figure("jobs removed a second beside it", removed, least=min(before / options.seconds, stage.settings.removal_jobs_per_second) * 0.5),
        Figure("left after it", left),
        Figure("jobs that have not ended", unfinished, most=0),
    ]


def _make(there: Scene, jobs: int) -> None:
    connection = there.connect()
    connection.autocommit = True
    with connection.cursor() as cursor:
        for start in range(0, jobs, AT_ONCE):
            cursor.execute(MADE, (min(AT_ONCE, jobs - start),))
        cursor.execute("VACUUM ANALYZE expiries")  # as autovacuum would have, by then
        cursor.execute(DUE)
    connection.close()


def _left(there: Scene) -> int:
    with there.connect() as connection, connection.cursor() as cursor:
        cursor.execute(LEFT)
        return int(cursor.fetchone()[0])
