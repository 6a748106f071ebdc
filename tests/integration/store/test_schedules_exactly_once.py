"""Each instant of a schedule fires once, with five controllers that know nothing of each other and are killed."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event

from integration.store.support.schedules import Schedules
from integration.store.support.storage import Storage

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Row, Statement
from common.store.schedules import firing
from common.store.schedules.firing import FiringLimits
from common.store.schedules.records import StoredSchedule

CONTROLLERS, SCHEDULES, SECONDS, DEATH = 5, 60, 8.0, 0.004
KILLED, MOST_S = 10, 60.0  # on a busy machine it takes longer until as many have been killed
FORK = multiprocessing.get_context("fork")


class MortalConnection(WorkerConnection):
    """Kills its process before some statement, or after it, its commits included."""

    def _execute(self, sql: str, arguments: object = None) -> None:
        self._maybe_die()
        super()._execute(sql, arguments)  # type: ignore[arg-type]  # narrowed there
        self._maybe_die()

    def run(self, statement: Statement, arguments: Sequence[object]) -> list[Row]:
        rows = super().run(statement, arguments)
        self._maybe_die()
        return rows

    @staticmethod
    def _maybe_die() -> None:
        if random.random() < DEATH:
            os.kill(os.getpid(), signal.SIGKILL)


def _control(settings: Settings, stop: Event, seed: int) -> None:
    random.seed(seed)
    connection = MortalConnection(settings, "controller", by_index=True)
    while not stop.is_set():
        if firing.is_any_due(connection):
            firing.fire_due(connection, FiringLimits(20, 60))
        stop.wait(0.05)
    os._exit(0)  # without the cleanup of the test's process


def test_each_instant_fires_once_while_controllers_are_killed(storage: Storage) -> None:
    schedules = Schedules(storage)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    created: list[StoredSchedule] = [
        schedules.create(
            every_seconds=(0.1, 0.5, 2.0)[number % 3],
            starts_at=start.isoformat(),
            overlap=("allow", "skip", "queue", "cancel_old")[number % 4],
        )
        for number in range(SCHEDULES)
    ]
    schedules.connection.close()
    stop, killed, number = FORK.Event(), 0, 0
    controllers: list[multiprocessing.process.BaseProcess] = []
    began = time.monotonic()
    while (took := time.monotonic() - began) < SECONDS or (killed < KILLED and took < MOST_S):
        killed += sum(not controller.is_alive() for controller in controllers)
        controllers = [controller for controller in controllers if controller.is_alive()]
        while len(controllers) < CONTROLLERS:
            number += 1
            controllers.append(FORK.Process(target=_control, args=(storage.settings, stop, number)))
            controllers[-1].start()
        storage.rows("DELETE FROM live WHERE random() < 0.1")  # jobs end
        time.sleep(0.1)
    stop.set()
    for controller in controllers:
        controller.join(5)
    assert killed >= KILLED
    total = 0
    for schedule in created:
        total += _check(storage, schedule, start)
    assert total > SCHEDULES * 10
    fired, jobs, distinct = storage.rows(
        """SELECT (SELECT count(*) FROM schedule_fires WHERE outcome = 'fired'), (SELECT count(*) FROM jobs),
                  (SELECT count(DISTINCT job) FROM schedule_fires)"""
    )[0]
    assert fired == jobs == distinct
    assert (
        storage.value(
            "SELECT count(*) FROM schedule_fires f WHERE job IS NOT NULL AND NOT EXISTS "
            "(SELECT FROM jobs WHERE jobs.id = f.job AND submitted_by = 'schedule:' || f.schedule)"
        )
        == 0
    )
    assert storage.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


def _check(storage: Storage, schedule: StoredSchedule, start: datetime) -> int:
    """Compare the decided instants of a schedule with those that it had. Returns how many it had."""
    assert schedule.every_s is not None
    every = timedelta(seconds=schedule.every_s)
    next_at, pending_at = storage.rows("SELECT next_at, pending_at FROM schedules WHERE id = %s", (str(schedule.id),))[
        0
    ]
    had = [start + number * every for number in range(round((next_at - start) / every))]
    fires = storage.rows(
        "SELECT at FROM schedule_fires WHERE schedule = %s AND outcome <> 'missed' ORDER BY at", (str(schedule.id),)
    )
    decided = sorted([at for (at,) in fires] + ([pending_at] if pending_at else []))
    assert decided == had
    return len(had)
