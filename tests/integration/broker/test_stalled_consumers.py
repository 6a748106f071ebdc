"""A worker that no longer hears while work is due for it: its probe says so, and says nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest
from rig.proxy import Proxy
from rig.system import System, until


@pytest.fixture
def health(system: System) -> Path:
    """The file of a worker whose hearing is short."""
    file: Path = system.folder / "health"
    system.env.update(JOBPROC_HEALTH_FILE=str(file), JOBPROC_DEAF_SECONDS="1")
    return file


def _probe(system: System) -> tuple[int, str]:
    ended = subprocess.run([sys.executable, "-m", "worker.health"], cwd=system.folder, env=system.env, capture_output=True, text=True, timeout=10, check=False)
    return ended.returncode, ended.stderr


def test_a_worker_whose_idle_process_does_not_look_for_due_work_is_unhealthy_until_it_does(system: System, health: Path) -> None:
    """Its process stands still. An idle one with nothing to do is well, and so is a busy one."""
    system.worker(concurrency=1).api()
    until("it says that it is well", lambda: health.exists() and _probe(system) == (0, ""))
    (process,) = system.children()
    os.kill(process, signal.SIGSTOP)
    job_id = system.submit("effect", 0, 1)
    until("it is found deaf", lambda: _probe(system)[0] != 0, limit_s=6)
    assert "deaf" in _probe(system)[1]
    os.kill(process, signal.SIGCONT)
    assert system.wait(job_id, limit_s=15)["status"] == "SUCCESS"
    until("it is well again", lambda: _probe(system) == (0, ""), limit_s=5)


def test_a_busy_worker_is_not_deaf_although_work_waits(system: System, health: Path) -> None:
    """Every process is at work; more work is due all the while."""
    system.worker(concurrency=1).api()
    system.submit_many("sleep", [[3.5], [0]])
    until("it writes", health.exists)

    def look() -> bool:
        assert _probe(system) == (0, "")
        return not system.database.one("SELECT count(*) FROM live")

    until("both have ended", look)


def test_a_worker_whose_database_is_away_is_well(system: System, health: Path, database_url: str) -> None:
    """Nobody can say whether work is due, and a restart would bring nothing back."""
    parts = psycopg2.extensions.parse_dsn(database_url)
    with Proxy(parts["port"]) as proxy:
        system.worker(concurrency=1, DATABASE_URL=f"postgresql://{parts['user']}@127.0.0.1:{proxy.port}/{parts['dbname']}")
        until("it says that it is well", lambda: health.exists() and _probe(system) == (0, ""))
        proxy.refuse()
        until("it has noticed", lambda: system.events("worker", "database_away"))
        written = health.stat().st_mtime
        until("it has written again, twice", lambda: health.stat().st_mtime > written + 1.5, limit_s=6)
        assert _probe(system) == (0, "")
