"""A thundering herd: clients that keep retrying while PostgreSQL is unavailable, and when it is back."""

import json
import signal
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg2

from tests.benchmarks.disturbances import Scene
from tests.benchmarks.payload_limits import ended, start_clients
from tests.benchmarks.setting import Figure, Stage
from tests.rig.background import BackgroundThread

FULL = 0.9  # of the throughput before counts as full
LOOK_S = 0.05
CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
RIGHT = "SELECT count(*) FROM outcomes WHERE id = ANY (%s::uuid[]) AND status = 'SUCCESS' AND result::text = '14.0'"


class Connected(BackgroundThread):
    """Samples the number of connections that the system has to PostgreSQL."""

    def __init__(self, there: Scene) -> None:
        super().__init__()
        self._there = there
        self.seen: list[tuple[float, int]] = []  #: time, connections

    def _run(self) -> None:
        while not self._done.wait(LOOK_S):
            with suppress(psycopg2.Error):
                self._look()

    def _look(self) -> None:
        connection = self._there.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not self._done.wait(LOOK_S):
                cursor.execute(CONNECTIONS)
                self.seen.append((time.time(), cursor.fetchone()[0]))
        connection.close()

    def maximum(self, start: float, end: float) -> int:
        """Return the maximum between two times."""
        return max((count for at, count in self.seen if start <= at <= end), default=0)


@dataclass(frozen=True)
class Times:
    """Times of the restart."""

    stopped: float
    started: float  #: of the stop of PostgreSQL
    back: float  #: when it took connections again
    over: float


def stampede(stage: Stage) -> list[Figure]:
    """Measure the recovery after PostgreSQL was stopped under clients that retry soon after a 503."""
    found = []
    for clients in map(int, stage.options.stampede_clients.split(",")):
        with stage.scene() as there:
            found += [
                Figure(f"{clients} clients: {figure.name}", figure.value, figure.at_least, figure.at_most)
                for figure in _measure(stage, there, clients)
            ]
    return found


def _measure(stage: Stage, there: Scene, clients: int) -> list[Figure]:
    options, file = stage.options, stage.folder / f"stampede-{clients}.json"
    before = _stored(there)
    process = start_clients("back", there.port, clients, options.calm + options.outage + options.return_seconds, file)
    with Connected(there) as connected:
        time.sleep(options.calm)
        stopped = time.time()
        there.postgres.stop(signal.SIGINT)
        time.sleep(options.outage)
        started = time.time()
        there.postgres.start()
        back = time.time()
        process.communicate()
    times, report = Times(stopped, started, back, time.time()), json.loads(file.read_text())
    unfinished, _, _ = ended(there, len(report["accepted"]))
    return [
        *_answers(stage, report, times, options.calm),
        *_connections(connected, times),
        *_stored_jobs(there, report, unfinished, before),
    ]


def _answers(stage: Stage, report: dict[str, Any], times: Times, calm_s: float) -> list[Figure]:
    accepted = sorted(when for when, _, status in report["answers"] if status == 202)
    began = max(accepted[0], times.stopped - calm_s / 2)
    before = (bisect_left(accepted, times.stopped) - bisect_left(accepted, began)) / (times.stopped - began)
    again = accepted[bisect_left(accepted, times.started) :]
    statuses = Counter(status for _, _, status in report["answers"])
    return [
        Figure("accepted POST/s before", before),
        Figure(
            "s from its return to the first accepted job",
            max(0.0, again[0] - times.back) if again else float("inf"),
            at_most=2.0,
        ),
        Figure(
            f"s from its return to {FULL} of the rate before", max(0.0, _full(again, before) - times.back), at_most=10.0
        ),
        Figure(
            "slowest answer in s",
            max(took for _, took, _ in report["answers"]),
            at_most=stage.settings.database_timeout_seconds + 1,
        ),
        Figure("503", statuses[503]),
        Figure("other than 202 and 503", statuses.total() - statuses[202] - statuses[503], at_most=0),
        Figure("connections lost, requests unanswered", report["broken"] + report["unanswered"], at_most=0),
    ]


def _full(accepted: Sequence[float], rate: float) -> float:
    """Return the start of the first second with full throughput."""
    return next(
        (at for number, at in enumerate(accepted) if bisect_left(accepted, at + 1.0) - number >= FULL * rate),
        float("inf"),
    )


def _connections(connected: Connected, times: Times) -> list[Figure]:
    before = connected.maximum(0.0, times.stopped)
    return [
        Figure("most connections before", before),
        Figure("most connections after its return", connected.maximum(times.started, times.over), at_most=before + 2),
    ]


def _stored_jobs(there: Scene, report: dict[str, Any], unfinished: int, before: int) -> list[Figure]:
    with there.connect() as connection, connection.cursor() as cursor:
        cursor.execute(RIGHT, (report["accepted"],))
        right = cursor.fetchone()[0]
    return [
        Figure("accepted jobs without their result", len(report["accepted"]) - right, at_most=0),
        Figure("jobs that have not ended", unfinished, at_most=0),
        Figure("stored though not accepted", _stored(there) - before - len(report["accepted"])),
    ]


def _stored(there: Scene) -> int:
    with there.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM jobs")
        return int(cursor.fetchone()[0])
