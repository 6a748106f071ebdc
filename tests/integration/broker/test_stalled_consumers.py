"""Workers whose consumer is stalled while work is due: the health probe fails for them and for no others."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rig.proxy import Proxy
from rig.system import System, until


@pytest.fixture
def health(system: System) -> Path:
    """The health file of a worker that counts as stalled after a second."""
    file: Path = system.folder / "health"
    system.env.update(JOBPROC_HEALTH_FILE=str(file), JOBPROC_STALLED_CONSUMER_SECONDS="1")
    return file


def _probe(system: System) -> tuple[int, str]:
    probe = subprocess.run(
        [sys.executable, "-m", "worker.health"],
        cwd=system.folder,
        env=system.env,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return probe.returncode, probe.stderr


def test_a_worker_is_unhealthy_while_its_idle_process_does_not_claim_due_work(system: System, health: Path) -> None:
    """The process is frozen. The worker is healthy before that, with an idle process and no work, and afterwards."""
    system.worker(concurrency=1).api()
    until("the worker reports that it is healthy", lambda: health.exists() and _probe(system) == (0, ""))
    (process,) = system.children()
    os.kill(process, signal.SIGSTOP)
    job_id = system.submit("effect", 0, 1)
    until("the probe fails", lambda: _probe(system)[0] != 0, limit_s=6)
    assert "stalled" in _probe(system)[1]
    os.kill(process, signal.SIGCONT)
    assert system.wait(job_id, limit_s=15)["status"] == "SUCCESS"
    until("the worker is healthy again", lambda: _probe(system) == (0, ""), limit_s=5)


def test_a_busy_worker_is_not_stalled_while_more_work_is_due(system: System, health: Path) -> None:
    """Every process runs a job while another job is due."""
    system.worker(concurrency=1).api()
    system.submit_many("sleep", [[3.5], [0]])
    until("the health file exists", health.exists)

    def all_ended() -> bool:
        assert _probe(system) == (0, "")
        return not system.database.value("SELECT count(*) FROM live")

    until("both jobs have ended", all_ended)


def test_a_worker_is_healthy_while_its_database_is_unavailable(system: System, health: Path, database_url: str) -> None:
    """The worker cannot know whether work is due, and a restart would repair nothing."""
    with Proxy.before(database_url) as proxy:
        system.worker(concurrency=1, DATABASE_URL=proxy.url_of(database_url))
        until("the worker reports that it is healthy", lambda: health.exists() and _probe(system) == (0, ""))
        proxy.refuse()
        until("the worker has logged the outage", lambda: system.events("worker", "database_unavailable"))
        written = health.stat().st_mtime
        until(
            "the worker has written the health file twice more",
            lambda: health.stat().st_mtime > written + 1.5,
            limit_s=6,
        )
        assert _probe(system) == (0, "")
