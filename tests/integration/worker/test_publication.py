"""The catalogue of operations: what PostgreSQL refuses, what workers mark, what the controller forgets."""

from pathlib import Path
from typing import Any

from rig.scrape import MetricsPage
from rig.settings import settings_from
from rig.system import System, until

from common.domain.operation_spec import OperationSpec
from common.store.connection.psycopg2_session import WorkerConnection
from worker.supervision.publication import SEEN_INTERVAL_S, Publication

HEALTHY = "ok\nok\n"


def test_a_refused_operation_holds_up_neither_the_others_nor_the_worker(system: System, tmp_path: Path) -> None:
    """It is logged once, the health file is written, and the operation is published when PostgreSQL takes it."""
    health, database = tmp_path / "health", system.database
    database.rows("ALTER TABLE operations ADD CONSTRAINT no_greeting CHECK (name <> 'greet')")
    system.worker(concurrency=1, JOBPROC_HEALTH_FILE=str(health), JOBPROC_RECONNECT_MAX_DELAY_SECONDS="0.2").api()
    (refused,) = until("it is logged", lambda: system.events("worker", "operations_publish_failed"))
    assert refused["operations"] == ["greet"]
    assert "no_greeting" in refused["reason"]
    until("the worker is healthy", lambda: health.exists() and health.read_text() == HEALTHY)
    assert system.wait(system.submit("square_sum", 1, 2))["result"] == 5
    database.rows("ALTER TABLE operations DROP CONSTRAINT no_greeting")
    until("it is published", lambda: database.value("SELECT count(*) FROM operations WHERE name = 'greet'"))
    assert len(system.events("worker", "operations_publish_failed")) == 1
    assert not system.events("worker", "supervisor_failed")


GONE = """
INSERT INTO operations (name, retry_base_s, retry_cap_s, max_attempts, queue, queues, description, input_schema,
                        output_schema, seen_at)
VALUES ('gone', 1, 300, 3, 'default', '{default}', '', '{}', '{}', clock_timestamp() - interval '25 h')
"""


def test_an_operation_that_no_worker_has_known_for_a_day_is_no_longer_accepted(system: System) -> None:
    system.env["JOBPROC_OPERATIONS_CACHE_SECONDS"] = "0.1"
    system.database.rows(GONE)
    system.api().controller()
    until("the controller leads", lambda: system.events("controller", "controller_leading"))
    assert system.submit("gone", 1)  # no worker lives: those that know it may be scaled to zero
    system.end("controller")
    system.worker(concurrency=1).controller("second")
    (forgotten,) = until("it is forgotten", lambda: system.events("second", "operations_forgotten"))
    assert (forgotten["operations"], forgotten["hours"]) == (["gone"], 24)
    refused = until("the API has read the list", lambda: _refused(system, "gone"))
    assert "1 worker process is alive and knows all of these" in refused["detail"]
    assert system.submit("square_sum", 1)


def _refused(system: System, operation: str) -> dict[str, Any] | None:
    response = system.client.post("/jobs/", json={"operation": operation, "input": None})
    return dict(response.json()) if response.status_code == 422 else None


def test_nothing_is_forgotten_if_the_setting_is_0(system: System) -> None:
    page = MetricsPage()
    system.database.rows(GONE)
    system.worker(concurrency=1).controller(JOBPROC_OPERATION_KEEP_HOURS="0", JOBPROC_METRICS_PORT=page.port)
    last_success = "jobproc_controller_task_last_success_timestamp_seconds"
    until("the task has run", lambda: page.value(last_success, task="operations"))
    assert system.database.value("SELECT count(*) FROM operations WHERE name = 'gone'") == 1


def test_a_worker_marks_what_it_knows_and_publishes_again_what_is_missing(system: System) -> None:
    settings = settings_from(system.database.url, system.env["REDIS_URL"])
    mine, newer = OperationSpec("mine"), OperationSpec("newer", queue="old")
    connection = WorkerConnection(settings, "test", by_index=False)
    publication = Publication([mine, newer], 1.0)
    publication.tick(0.0, lambda: connection)
    system.database.rows("DELETE FROM operations WHERE name = 'mine'")
    system.database.rows("UPDATE operations SET seen_at = now() - interval '1 h', queue = 'new' WHERE name = 'newer'")
    publication.tick(SEEN_INTERVAL_S - 1, lambda: connection)
    assert not system.database.value("SELECT count(*) FROM operations WHERE name = 'mine'")
    publication.tick(SEEN_INTERVAL_S, lambda: connection)
    connection.close()
    assert system.database.rows(
        "SELECT name, queue, seen_at > now() - interval '1 min' FROM operations "
        "WHERE name IN ('mine', 'newer') ORDER BY 1"
    ) == [("mine", "default", True), ("newer", "new", True)]
