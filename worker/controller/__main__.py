"""`python -m worker.controller`: rescue, schedules, bulk actions, doorbells, retention. Of any number one leads."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from sqlalchemy.exc import DBAPIError

from common import process_environment
from common.broker.doorbells import Doorbell
from common.command_line import command_line
from common.domain.errors import StartupError
from common.domain.operation_spec import OperationSpec
from common.hangup import end_on_hangup
from common.migrations import head
from common.settings import Settings, secret_variables, variables_of
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.connection.sqlalchemy_engine import sync_engine
from common.store.operations import catalogue
from common.store.queues import queue_state
from common.store.schema import planner_statistics
from common.store.schema.startup import wait_for_schema
from common.store.workers import leader, leases
from common.telemetry import logs, traces
from common.telemetry.exposition import Exposition
from worker.controller import maintenance, tenant_removal
from worker.controller.batches import Batches
from worker.controller.bulk_actions import BulkActions
from worker.controller.feed.pages import FeedPages
from worker.controller.leader import Leadership
from worker.controller.metrics import ControllerMetrics, DatabaseMetrics
from worker.controller.pod_deletion_cost import DeletionCosts
from worker.controller.rescue import Rescue
from worker.controller.row_deletion import RowDeletion
from worker.controller.schedules import ScheduleFires
from worker.controller.usage import UsageCounter
from worker.controller.webhooks.sweep import WebhookSweep
from worker.failures.outcome_log import OutcomeLog
from worker.workflows.sweep import Sweep

log = logs.get("controller")
PARTITIONS_INTERVAL_S = 600.0
OPERATIONS_INTERVAL_S = 30.0
KEYS_INTERVAL_S = 30.0
EXPIRY_INTERVAL_S = 30.0
STATISTICS_INTERVAL_S = 1.0
DELETION_COST_INTERVAL_S = 2.0
MAX_BUSY_HOSTS = 10_000


class Controller:
    """The controller tasks of the leader, a tick at a time."""

    def __init__(self, settings: Settings, metrics: ControllerMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._engine = sync_engine(settings, "controller")
        self._doorbell = Doorbell(settings)
        self._leadership = Leadership(settings)
        self._rescue = Rescue(settings.max_crashes, OutcomeLog(settings))
        self._row_deletion = RowDeletion(settings)
        self._bulk_actions = BulkActions(settings, metrics.bulk_action_jobs)
        self._batches = Batches(settings)
        self._sweep = Sweep(settings)
        self._feed = FeedPages(settings)
        self._schedules = ScheduleFires(settings, metrics.schedule_fires)
        self._webhooks = WebhookSweep(settings)
        self._deletion_costs = DeletionCosts(settings)
        self._usage = UsageCounter(self._engine, settings)
        self._operations: dict[str, OperationSpec] = {}
        self._connection: WorkerConnection | None = None
        self._last_run: dict[str, float] = {}
        self._leads: bool | None = None  # None: not known yet
        self._logged_failure = ""  # of Redis
        self.last_tick = time.monotonic()

    def tick(self) -> None:
        """Run the due tasks if this controller leads. Raises DatabaseUnavailable if the database is unavailable."""
        if self._connection is None:
            self._connection = WorkerConnection(self._settings, "controller", by_index=True)
        connection = self._connection
        leads = self._leadership.holds(connection)
        self._metrics.leading.set(leads)
        if leads is not self._leads:
            self._leads = leads
            if leads:
                log.info("controller_leading", holder=self._leadership.holder, term=self._leadership.term)
            else:
                log.info("controller_standing_by", holder=self._leadership.holder)
        if leads:
            self._run_tasks(connection)
        else:
            self._metrics.set_unrunnable({})  # the leader exports them
        self.last_tick = time.monotonic()

    def _run_tasks(self, connection: WorkerConnection) -> None:
        """Run the due tasks of the leader, in this order."""
        self._every("operations", OPERATIONS_INTERVAL_S, lambda: self._refresh_operations(connection))
        self._every(
            "partitions", PARTITIONS_INTERVAL_S, lambda: maintenance.create_partitions(self._engine, self._settings)
        )
        self._every(
            "planner_statistics",
            STATISTICS_INTERVAL_S,
            lambda: planner_statistics.clear_live_statistics(connection),
        )
        self._run_job_tasks(connection)
        self._ring(queue_state.due_queues(connection))
        self._run_task("usage", lambda: self._usage.count(connection))
        if self._deletion_costs.is_enabled:
            self._every(
                "pod_deletion_cost",
                DELETION_COST_INTERVAL_S,
                lambda: self._deletion_costs.update(leases.busy_hosts(connection, MAX_BUSY_HOSTS)),
            )
        self._run_retention_tasks(connection)

    def _run_job_tasks(self, connection: WorkerConnection) -> None:
        """Run the tasks that end jobs and let jobs run."""
        self._run_task("rescue", lambda: self._rescue.lost_workers(connection, self._operations))
        if self._rescue.is_full_scan_due:
            self._run_task("orphaned_jobs", lambda: self._rescue.orphaned_jobs(connection, self._operations))
            self._metrics.set_unrunnable(queue_state.unrunnable(connection, self._settings.queue_count_limit))
        self._run_task("deadlines", lambda: self._rescue.fail_past_deadline(connection))
        if starved_s := self._settings.starvation_seconds:
            self._run_task("starvation", lambda: self._rescue.raise_starved(connection, starved_s))
        self._run_task("strays", lambda: self._rescue.requeue_strays(connection))
        self._run_task("bulk_actions", lambda: self._bulk_actions.run_steps(connection))
        self._run_task("schedules", lambda: self._schedules.fire(connection))
        self._run_task("parked", lambda: self._rescue.wake_parked(connection))  # after all that free keys
        self._run_task("workflows", lambda: self._sweep.run(connection))  # after all that end jobs
        self._run_task("batches", lambda: self._batches.run(connection))  # after that
        self._run_task("webhooks", lambda: self._webhooks.run(connection))  # after all that end jobs
        self._run_task("feed", lambda: self._feed.number(connection))

    def _run_retention_tasks(self, connection: WorkerConnection) -> None:
        """Run the tasks that delete what is kept no longer."""
        self._every(
            "retention",
            self._settings.retention_check_seconds,
            lambda: maintenance.delete_finished(self._engine, self._settings, self._row_deletion),
        )
        self._delete_rows(connection)
        self._every(
            "audit", PARTITIONS_INTERVAL_S, lambda: maintenance.delete_audit_entries(self._engine, self._settings)
        )
        self._run_task("tenant_removal", lambda: tenant_removal.run_steps(connection, self._settings))
        self._every("keys", KEYS_INTERVAL_S, lambda: maintenance.delete_expired_keys(self._engine, connection))
        self._every(
            "api_keys", PARTITIONS_INTERVAL_S, lambda: maintenance.delete_ended_api_keys(self._engine, self._settings)
        )
        self._every("bulk_action_expiry", EXPIRY_INTERVAL_S, lambda: self._bulk_actions.expire(connection))
        self._every("batch_expiry", PARTITIONS_INTERVAL_S, lambda: self._batches.delete_ended(connection))
        self._every(
            "workers", PARTITIONS_INTERVAL_S, lambda: maintenance.delete_ended_workers(connection, self._settings)
        )

    def close(self, *, resign: bool) -> None:
        """Close the connections; `resign`: end the leader lease, so that another controller may lead at once."""
        if self._connection is not None:
            if resign and self._leadership.term is not None:
                try:
                    leader.resign(self._connection, self._leadership.holder)
                except DatabaseUnavailable:
                    log.warning("leader_resign_failed")
            self._connection.close()
        self._connection, self._leads = None, None
        self._engine.dispose()

    def _delete_rows(self, connection: WorkerConnection) -> None:
        self._every("feed_expiry", EXPIRY_INTERVAL_S, lambda: self._feed.delete_old(connection))
        self._row_deletion.begin_tick()
        self._run_task("expiry", lambda: self._row_deletion.delete_expired(connection))
        self._run_task("row_deletion", lambda: self._row_deletion.delete_past_retention(connection))
        self._run_task("input_deletion", lambda: self._row_deletion.delete_inputs(connection))
        self._every("schedule_fires", EXPIRY_INTERVAL_S, lambda: self._schedules.delete_old(connection))
        self._every("webhook_secrets", KEYS_INTERVAL_S, lambda: self._webhooks.delete_old(connection))

    def _refresh_operations(self, connection: WorkerConnection) -> None:
        maintenance.forget_operations(connection, self._settings)
        with self._engine.connect() as reader:
            self._operations = catalogue.read(reader)

    def _run_task(self, task: str, work: Callable[[], int]) -> None:
        count = work()
        self._metrics.jobs.labels(task).inc(count)
        self._metrics.task_succeeded(task)

    def _every(self, task: str, seconds: float, work: Callable[[], object]) -> None:
        now = time.monotonic()
        if now - self._last_run.get(task, -seconds) >= seconds:
            work()
            self._last_run[task] = now
            self._metrics.task_succeeded(task)

    def _ring(self, due: list[str]) -> None:
        for queue in due:
            sent = self._doorbell.ring(queue)
            outcome = "failed" if sent is None else "sent" if sent else "coalesced"
            self._metrics.doorbells.labels(outcome).inc()
            if self._doorbell.failure != self._logged_failure:
                self._logged_failure = self._doorbell.failure
                if sent is None:
                    log.warning("redis_unavailable", url=self._settings.redis_server.url, reason=self._logged_failure)
            if sent is None:
                break  # the next tick tries again
        self._metrics.task_succeeded("doorbells")


def run(settings: Settings, stop: threading.Event) -> None:
    """Run ticks until `stop` is set. While the database is unavailable, retry each tick.

    Raises StartupError if the database lacks for too long what the controller needs.
    """
    metrics = ControllerMetrics()
    controller = Controller(settings, metrics)
    DatabaseMetrics(settings, metrics)
    limit_s = settings.tick_seconds * 10 + settings.statement_timeout_seconds

    def probe() -> str | None:
        return None if time.monotonic() - controller.last_tick < limit_s else "no tick for too long"

    Exposition(settings, metrics.registry).start({"/livez": probe, "/readyz": probe})

    def pause(seconds: float) -> bool:
        controller.last_tick = time.monotonic()  # it is healthy: a restart would not bring the schema
        return stop.wait(seconds)

    wait_for_schema(settings, head(), pause=pause)
    log.info("controller_ready", tick_seconds=settings.tick_seconds)
    while not stop.is_set():
        began_at = time.monotonic()
        try:
            controller.tick()
        except (DatabaseUnavailable, DBAPIError) as error:
            log.warning("database_unavailable", reason=str(error).strip())
            controller.close(resign=False)
            metrics.leading.set(0)  # another controller may lead by now
            controller.last_tick = time.monotonic()  # it is healthy: a restart would not bring the database back
        stop.wait(max(0.0, settings.tick_seconds - (time.monotonic() - began_at)))
    controller.close(resign=True)
    log.info("controller_stopped")


def main() -> None:
    """Run the controller until SIGTERM, SIGHUP or SIGINT."""
    command_line(
        "worker.controller", "Does what no client asks for, such as rescue and retention.", variables_of("controller")
    ).parse_args()
    try:
        settings = Settings.from_env(os.environ)
        process_environment.remove(secret_variables())
        logs.configure(settings, "controller")
        traces.configure("controller")
        log.info("starting", settings=settings.masked())
        stop = threading.Event()

        def request_stop(_signal: int, _frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, request_stop)
        signal.signal(signal.SIGINT, request_stop)
        end_on_hangup()
        run(settings, stop)
        traces.close()
    except StartupError as error:
        sys.exit(f"controller: {error}")


if __name__ == "__main__":
    main()
