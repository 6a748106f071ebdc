"""A stampede: clients that never leave off, while PostgreSQL is away and when it is back."""

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
from tests.benchmarks.limits import crowd_of, ended
from tests.benchmarks.setting import Figure, Stage
from tests.rig.background import Beside

FULL = 0.9  # of the rate before
LOOK_S = 0.05
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
RIGHT = "SELECT count(*) FROM outcomes WHERE id = ANY (%s::uuid[]) AND status = 'SUCCESS' AND result::text = '14.0'"


class Connected(Beside):
    """Looks how many connections of the system PostgreSQL has."""

    def __init__(self, there: Scene) -> None:
        super().__init__()
        self._there = there
        self.seen: list[tuple[float, int]] = []  #: when, how many

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

    def most(self, start: float, end: float) -> int:
        """Return the most between two times."""
        return max((count for at, count in self.seen if start <= at <= end), default=0)


@dataclass(frozen=True)
class Times:
    """What happened when."""

    stopped: float
    started: float  #: PostgreSQL was told to
    back: float  #: and took connections
    over: float


def stampede(stage: Stage) -> list[Figure]:
    """Clients that keep sending while PostgreSQL is away, each again soon after a 503, and what comes when it is back."""
    found = []
    for clients in map(int, stage.options.crowds.split(",")):
        with stage.scene() as there:
            found += [Figure(f"{clients} clients: {one.name}", one.value, one.least, one.most) for one in _of(stage, there, clients)]
    return found


def _of(stage: Stage, there: Scene, clients: int) -> list[Figure]:
    options, file = stage.options, stage.folder / f"crowd-{clients}.json"
    before = _stored(there)
    crowd = crowd_of("back", there.port, clients, options.calm + options.away + options.return_seconds, file)
    with Connected(there) as connected:
        time.sleep(options.calm)
        stopped = time.time()
        there.postgres.stop(signal.SIGINT)
        time.sleep(options.away)
        started = time.time()
        there.postgres.start()
        back = time.time()
        crowd.communicate()
    times, told = Times(stopped, started, back, time.time()), json.loads(file.read_text())
    unfinished, _, _ = ended(there, len(told["accepted"]))
    return [*_answers(stage, told, times, options.calm), *_connections(connected, times), *_kept(there, told, unfinished, before)]


def _answers(stage: Stage, told: dict[str, Any], times: Times, calm_s: float) -> list[Figure]:
    accepted = sorted(when for when, _, status in told["answers"] if status == 202)
    began = max(accepted[0], times.stopped - calm_s / 2)
    before = (bisect_left(accepted, times.stopped) - bisect_left(accepted, began)) / (times.stopped - began)
    again = accepted[bisect_left(accepted, times.started) :]
    statuses = Counter(status for _, _, status in told["answers"])
    return [
        Figure("accepted POST/s before", before),
        Figure("s from its return to the first accepted job", max(0.0, again[0] - times.back) if again else float("inf"), most=2.0),
        Figure(f"s from its return to {FULL} of the rate before", max(0.0, _full(again, before) - times.back), most=10.0),
        Figure("slowest answer in s", max(took for _, took, _ in told["answers"]), most=stage.settings.database_timeout_seconds + 1),
        Figure("503", statuses[503]),
        Figure("other than 202 and 503", statuses.total() - statuses[202] - statuses[503], most=0),
        Figure("connections lost, requests unanswered", told["broken"] + told["unanswered"], most=0),
    ]


def _full(accepted: Sequence[float], rate: float) -> float:
    """Return the start of the first second in which so many were accepted as belong to full rate."""
    return next((at for number, at in enumerate(accepted) if bisect_left(accepted, at + 1.0) - number >= FULL * rate), float("inf"))


def _connections(connected: Connected, times: Times) -> list[Figure]:
    before = connected.most(0.0, times.stopped)
    return [
        Figure("most connections before", before),
        Figure("most connections after its return", connected.most(times.started, times.over), most=before + 2),
    ]


def _kept(there: Scene, told: dict[str, Any], unfinished: int, before: int) -> list[Figure]:
    with there.connect() as connection, connection.cursor() as cursor:
        cursor.execute(RIGHT, (told["accepted"],))
        right = cursor.fetchone()[0]
    return [
        Figure("accepted jobs without their result", len(told["accepted"]) - right, most=0),
        Figure("jobs that have not ended", unfinished, most=0),
        Figure("stored though not accepted", _stored(there) - before - len(told["accepted"])),
    ]


def _stored(there: Scene) -> int:
    with there.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM jobs")
        return int(cursor.fetchone()[0])
