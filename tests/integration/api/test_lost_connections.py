"""Connections of an idle API that the server has ended: no request gets an error because of them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from rig.system import System, until

POOL = 6
GOOD = {"data": [1, 2, 3], "operation": "square_sum"}
OWN = "FROM pg_stat_activity WHERE usename = 'jobproc_test_api' AND datname = current_database()"
ACTION = {"action": "cancel", "filter": {"tag": "none"}}


@dataclass
class IdleApi:
    """An API with a full pool of idle connections, a job, and a bulk action."""

    system: System
    job_id: str = ""
    action_id: str = ""
    statuses: dict[str, int] = field(default_factory=dict)

    def fill_pool(self) -> None:
        """Let the API open as many connections as it may."""
        path, holder = f"/jobs/{self.job_id}/status", psycopg2.connect(self.system.database.url)
        holder.cursor().execute("LOCK TABLE live")
        with ThreadPoolExecutor(POOL) as clients:
            reads = [clients.submit(self.system.client.get, path) for _ in range(POOL - 2)]
            reads += [clients.submit(self.system.client.post, "/jobs/", json=GOOD)]
            until("the reads wait", lambda: self.system.database.value(f"SELECT count(*) {OWN}") >= POOL - 1)
            holder.close()
            assert {read.result().status_code for read in reads} <= {200, 202}

    def request_after_loss(self, method: str, path: str, body: Any = None) -> None:
        """End all connections of the API, then send a request."""
        self.fill_pool()
        ended = self.system.database.value(f"SELECT count(pg_terminate_backend(pid)) {OWN}")
        assert ended >= POOL - 1
        path = path.format(job=self.job_id, action=self.action_id)
        self.statuses[f"{method} {path}"] = self.system.client.request(method, path, json=body).status_code


@pytest.fixture
def idle_api(system: System) -> IdleApi:
    system.api(JOBPROC_API_POOL_CONNECTIONS=str(POOL), JOBPROC_MAX_QUEUE_AGE_SECONDS="3600")
    action = system.client.post("/bulk-actions", json=ACTION).json()
    return IdleApi(system, system.submit("square_sum", 1), action["bulk_action_id"])


def test_each_route_answers_after_all_connections_were_ended(idle_api: IdleApi) -> None:
    for path in (
        *("/jobs/{job}", "/jobs/{job}/status", "/jobs/{job}/result", "/jobs/{job}/input", "/jobs/{job}/explain"),
        *("/jobs/{job}/result?wait=0.1", "/jobs/", "/jobs/?tag=a", "/jobs/?status=PENDING", "/operations", "/stats"),
        *("/bulk-actions", "/bulk-actions/{action}", "/readyz"),
    ):
        idle_api.request_after_loss("GET", path)
    for path, body in (
        ("/jobs/", GOOD),
        ("/jobs/batch", [GOOD, GOOD]),
        ("/bulk-actions", ACTION),
        ("/bulk-actions/{action}/start", None),
        ("/bulk-actions/{action}/stop", None),
        ("/bulk-actions/{action}/undo", None),
        ("/jobs/{job}/cancel", None),
        ("/jobs/{job}/retry", None),
    ):
        idle_api.request_after_loss("POST", path, body)
    assert not {request: status for request, status in idle_api.statuses.items() if status >= 400}
    assert not idle_api.system.events("api", "request_failed")


def test_an_api_that_has_read_no_operations_accepts_the_first_submission(system: System) -> None:
    system.api(JOBPROC_API_POOL_CONNECTIONS=str(POOL))
    for _ in range(POOL):
        system.client.get("/readyz")
    assert system.database.value(f"SELECT count(pg_terminate_backend(pid)) {OWN}")
    assert system.client.post("/jobs/", json=GOOD).status_code == 202


def test_the_kernel_probes_idle_connections(system: System) -> None:
    """So a connection that a firewall has dropped silently ends before a request gets it."""
    system.api().client.get("/readyz")
    ports = {f"{row[0]:04X}" for row in system.database.rows(f"SELECT client_port {OWN}")}
    assert ports

    def timers() -> set[str]:
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {line[5].partition(":")[0] for line in lines if line[1].endswith(tuple(f":{port}" for port in ports))}

    # Another one runs while the server has not acknowledged what it was sent.
    until("all have the timer of keepalives, see proc(5)", lambda: timers() == {"02"})
