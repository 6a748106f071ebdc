"""The catalogue of operations, when PostgreSQL refuses what a worker publishes."""

from pathlib import Path

from rig.system import System, until

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
