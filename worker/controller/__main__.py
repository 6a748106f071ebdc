"""`python -m worker.controller`: rescue, act, ring, keep partitions, remove what is past retention. Any number may run; one leads."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from sqlalchemy.exc import DBAPIError

from common.broker.doorbells import Bell
from common.domain.errors import StartupError
from common.domain.operation_spec import OperationSpec
from common.settings import Settings
from common.store.connection.psycopg2_session import AWAY, Hot
from common.store.connection.sqlalchemy_engine import sync_engine
from common.store.operations import catalogue
from common.store.queues import queue_state
from common.store.schema import planner_statistics
from common.store.workers import leader
from common.telemetry import logs, traces
from common.telemetry.exposition import Exposition
from worker.controller import maintenance
from worker.controller.bulk_actions import Actions
from worker.controller.leader import Leadership
from worker.controller.metrics import Database, Gauges
from worker.controller.rescue import Rescue
from worker.controller.row_deletion import Removal

log = logs.get("controller")
PARTITIONS_EVERY_S = 600.0
OPERATIONS_EVERY_S = 30.0
KEYS_EVERY_S = 30.0
EXPIRY_EVERY_S = 30.0
STATISTICS_EVERY_S = 1.0


class Controller:
    """The duties of the leader, a tick at a time."""

    def __init__(self, settings: Settings, gauges: Gauges) -> None:
        self._settings = settings
        self._gauges = gauges
        self._engine = sync_engine(settings, "controller")
        self._bell = Bell(settings)
        self._leadership = Leadership(settings)
        self._rescue = Rescue(settings.max_crashes)
        self._removal = Removal(settings)
        self._actions = Actions(settings, gauges.acted)
        self._operations: dict[str, OperationSpec] = {}
        self._hot: Hot | None = None
        self._last: dict[str, float] = {}
        self.last_tick = time.monotonic()

    def tick(self) -> None:
        """Do what is due. Raises what is in AWAY when the database is away."""
        if self._hot is None:
            self._hot = Hot(self._settings, "controller", by_index=True)
        hot = self._hot
        leads = self._leadership.holds(hot)
        self._gauges.leading.set(leads)
        if leads:
            self._every("operations", OPERATIONS_EVERY_S, self._read_operations)
            self._every("partitions", PARTITIONS_EVERY_S, lambda: maintenance.make_partitions(self._engine, self._settings))
            self._every("statistics", STATISTICS_EVERY_S, lambda: planner_statistics.forget(hot))
            self._move("rescue", lambda: self._rescue.lost_workers(hot, self._operations))
            if self._rescue.full_look_due:
                self._move("leftovers", lambda: self._rescue.leftovers(hot, self._operations))
                self._gauges.say_unknown(queue_state.unknown(hot, self._settings.gauge_cap_jobs))
            self._move("deadlines", lambda: self._rescue.late(hot))
            if starved_s := self._settings.starvation_seconds:
                self._move("starved", lambda: self._rescue.starved(hot, starved_s))
            self._move("strays", lambda: self._rescue.strays(hot))
            self._move("actions", lambda: self._actions.take_turns(hot))
            self._ring(queue_state.due(hot))
            self._every("retention", self._settings.retention_check_seconds, lambda: maintenance.remove_finished(self._engine, self._settings, self._removal))
            self._remove(hot)
            self._every("keys", KEYS_EVERY_S, lambda: maintenance.forget_keys(self._engine))
            self._every("action_expiry", EXPIRY_EVERY_S, lambda: self._actions.expire(hot))
            self._every("workers", PARTITIONS_EVERY_S, lambda: maintenance.forget_workers(hot, self._settings))
        self.last_tick = time.monotonic()

    def close(self, *, resign: bool) -> None:
        """Drop the connections; `resign`: another may lead at once."""
        if self._hot is not None:
            if resign and self._leadership.term is not None:
                try:
                    leader.resign(self._hot, self._leadership.holder)
                except AWAY:
                    log.warning("not_resigned")
            self._hot.close()
        self._hot = None
        self._engine.dispose()

    def _remove(self, hot: Hot) -> None:
        self._removal.begin_tick()
        self._move("expiry", lambda: self._removal.expired(hot))
        self._move("removal", lambda: self._removal.past(hot))
        self._move("inputs", lambda: self._removal.inputs(hot))

    def _read_operations(self) -> None:
        with self._engine.connect() as connection:
            self._operations = catalogue.read(connection)

    def _move(self, duty: str, work: Callable[[], tuple[int, set[str]]]) -> None:
        count, _ = work()
        self._gauges.jobs.labels(duty).inc(count)
        self._gauges.done(duty)

    def _every(self, duty: str, seconds: float, work: Callable[[], object]) -> None:
        now = time.monotonic()
        if now - self._last.get(duty, -seconds) >= seconds:
            work()
            self._last[duty] = now
            self._gauges.done(duty)

    def _ring(self, due: list[str]) -> None:
        for queue in due:
            rang = self._bell.ring(queue)
            outcome = "failed" if rang is None else "rang" if rang else "unanswered"
            self._gauges.rings.labels(outcome).inc()
            if rang is None:
                break  # Redis is away: the next tick asks again
        self._gauges.done("ringing")


def run(settings: Settings, stop: threading.Event) -> None:
    """Tick until told to stop. A database that is away is waited for."""
    gauges = Gauges()
    controller = Controller(settings, gauges)
    Database(settings, gauges)
    limit_s = settings.tick_seconds * 10 + settings.statement_timeout_seconds
    Exposition(settings.metrics_port, gauges.registry, lambda: time.monotonic() - controller.last_tick < limit_s).start()
    log.info("controller_ready", tick_seconds=settings.tick_seconds)
    while not stop.is_set():
        began = time.monotonic()
        try:
            controller.tick()
        except (*AWAY, DBAPIError) as error:
            log.warning("database_away", reason=str(error).strip())
            controller.close(resign=False)
            gauges.leading.set(0)  # another one may lead by now
            controller.last_tick = time.monotonic()  # it is alive; a restart would not bring the database back
        stop.wait(max(0.0, settings.tick_seconds - (time.monotonic() - began)))
    controller.close(resign=True)
    log.info("controller_ended")


def main() -> None:
    """Run it."""
    try:
        settings = Settings.from_env(os.environ)
        logs.configure(settings, "controller")
        traces.configure("controller")
        log.info("starting", settings=settings.masked())
        stop = threading.Event()

        def ask(_signal: int, _frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, ask)
        run(settings, stop)
        traces.close()
    except StartupError as error:
        sys.exit(f"controller: {error}")


if __name__ == "__main__":
    main()
