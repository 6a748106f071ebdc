"""Expired jobs: many jobs pass their own retention time at once, and are deleted row by row under load."""

import statistics
from typing import Any

from tests.benchmarks.disturbances import Scene
from tests.benchmarks.measure import wait_until
from tests.benchmarks.payload_limits import ended
from tests.benchmarks.setting import Figure, Stage
from tests.benchmarks.throughput import load

AT_ONCE = 100_000  # rows inserted by one statement
MADE = """
WITH new AS (
    INSERT INTO jobs (id, operation, queue, input, max_attempts, keep_s)
    SELECT uuidv7(), 'square_sum', 'default', '{"data":[1,2,3]}', 3, 1 FROM generate_series(1, %s) RETURNING id),
done AS (
    INSERT INTO outcomes (id, run, attempt, released, rev, worker, started_at, finished_at, status, result)
    SELECT id, 0, 1, 0, 2, 1, now(), now() - interval '1 hour', 'SUCCESS', '14.0' FROM new)
INSERT INTO expiries (id, at) SELECT id, 'infinity' FROM new
"""
DUE = "UPDATE expiries SET at = clock_timestamp() WHERE at = 'infinity'"
LEFT = "SELECT count(*) FROM expiries"


def expired(stage: Stage) -> list[Figure]:
    """Return the load's throughput during the deletion, as a ratio to that before and after it."""
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
        accepted = sum(load["accepted"] for load in [*without, beside])
        unfinished = ended(there, accepted)[0]
    removed = (before - left) / options.seconds

    def ratio(figure: str) -> float:
        return float(beside[figure] / statistics.mean(load[figure] for load in without))

    return [
        Figure("accepted POST/s without", statistics.mean(load["post_s"] for load in without)),
        Figure("accepted POST/s to that without", ratio("post_s"), at_least=0.9),
        Figure("p99 of POST to that without", ratio("p99_ms"), at_most=2.0),
        Figure(
            "jobs removed a second beside it",
            removed,
            at_least=min(before / options.seconds, stage.settings.deletion_jobs_per_second) * 0.5,
        ),
        Figure("left after it", left),
        Figure("jobs that have not ended", unfinished, at_most=0),
    ]


def _make(there: Scene, jobs: int) -> None:
    connection = there.connect()
    connection.autocommit = True
    with connection.cursor() as cursor:
        for start in range(0, jobs, AT_ONCE):
            cursor.execute(MADE, (min(AT_ONCE, jobs - start),))
        cursor.execute("VACUUM ANALYZE expiries")  # as autovacuum would have done by then
        cursor.execute(DUE)
    connection.close()


def _left(there: Scene) -> int:
    with there.connect() as connection, connection.cursor() as cursor:
        cursor.execute(LEFT)
        return int(cursor.fetchone()[0])
