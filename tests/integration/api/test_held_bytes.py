"""Bytes that clients make an API process hold: submissions without a commit, responses without a reader."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import asyncpg
import httpx
from rig.process_usage import memory_mib
from rig.proxy import Proxy
from rig.scrape import MetricsPage
from rig.system import System, until

from common.store.jobs import reads

MIB = 1_048_576
LARGE = b'{"operation":"square_sum","data":[%b1]}' % ((b"1" * 300 + b",") * 3_300)  # nearly 1 MiB, and valid
LIMIT = 8 * MIB
HELD = 8  # large submissions within the limit
CLIENTS = 24
SLOW_CLIENTS = 120
MAX_UNREAD_MIB = 110  # 60 with the limit, 170 without it
#: Growth of the process beside the limited bytes: bodies that are being parsed, and the allocator's reserve.
OTHER_MIB = 24


def test_submissions_are_held_within_a_limit_of_bytes_while_postgresql_hangs(
    make_system: Callable[..., System], database_url: str, redis_url: str
) -> None:
    page = MetricsPage()
    with Proxy.before(database_url) as proxy:
        system = make_system(proxy.url_of(database_url), redis_url)
        system.api(
            JOBPROC_MAX_BUFFERED_BYTES=str(LIMIT),
            JOBPROC_METRICS_PORT=page.port,
            JOBPROC_DATABASE_TIMEOUT_SECONDS="30",
            JOBPROC_LARGE_BODY_CONCURRENCY=str(CLIENTS),  # none waits for the turn of a batch that is being stored
        )
        system.submit("square_sum", 1)  # the operations are cached

        def post(path: str) -> httpx.Response:
            body = LARGE if path == "/jobs/" else b"[%b]" % LARGE
            with httpx.Client(timeout=30) as client:
                return client.post(
                    f"http://127.0.0.1:{system.port}{path}", content=body, headers={"Content-Type": "application/json"}
                )

        proxy.hang()
        pid = system.processes["api"].pid
        before_mib = memory_mib(pid)
        with ThreadPoolExecutor(CLIENTS) as clients:
            responses = clients.map(post, ["/jobs/", "/jobs/batch"] * (CLIENTS // 2))
            until(
                "the others are refused",
                lambda: page.value("jobproc_refusals_total", reason="buffered_bytes") == CLIENTS - HELD,
            )
            growth_mib = memory_mib(pid, "VmHWM") - before_mib
            proxy.heal()
            outcomes = [
                (response.status_code, response.json().get("type"), response.headers.get("retry-after"))
                for response in responses
            ]
        assert growth_mib < LIMIT / MIB + OTHER_MIB
        assert outcomes.count((503, "urn:jobproc:problem:overloaded", "1")) == CLIENTS - HELD
        assert outcomes.count((202, None, None)) == HELD
        assert system.database.value("SELECT count(*) FROM jobs") == 1 + HELD
        assert post("/jobs/").status_code == 202, "their bytes are free again"


def test_results_are_read_and_held_within_limits_of_bytes(system: System) -> None:
    page = MetricsPage()
    system.worker().api(JOBPROC_MAX_UNREAD_RESPONSE_BYTES=str(LIMIT), JOBPROC_METRICS_PORT=page.port)
    sizes = {system.submit("big_result", size): size for size in (1, 150_000, MIB - 100)}
    for job_id in sizes:
        system.wait(job_id)
    _assert_snapshots(system, *sizes)
    _assert_unread_responses(system, page, max(sizes, key=lambda job_id: sizes[job_id]))


def _assert_snapshots(system: System, small: str, repetitive: str, large: str) -> None:
    """PostgreSQL stores 150,000 equal characters in 2 KB; a poll reads the results of hundreds of jobs."""
    stored_bytes = system.database.value("SELECT pg_column_size(result) FROM outcomes WHERE id = %s", (repetitive,))
    assert stored_bytes < reads.LARGE_RESULT_BYTES

    async def snapshots() -> dict[tuple[int, str], reads.JobSnapshot]:
        connection = await asyncpg.connect(system.database.url)
        try:
            return await reads.snapshots(connection, [(1, UUID(job_id)) for job_id in (small, repetitive, large)])
        finally:
            await connection.close()

    found = asyncio.run(snapshots())
    assert [(found[1, job_id].result, found[1, job_id].is_result_large) for job_id in (small, repetitive, large)] == [
        ('"x"', False),
        (None, True),
        (None, True),
    ]


def _assert_unread_responses(system: System, page: MetricsPage, job_id: str) -> None:
    """The connections that have waited longest are closed; a client that reads gets its response."""
    pid = system.processes["api"].pid
    before_mib = memory_mib(pid)
    slow = []
    for number in range(SLOW_CLIENTS):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)  # the rest stays on the side of the API
        connection.connect(("127.0.0.1", system.port))
        query = "?wait=10" if number % 2 else ""
        connection.sendall(f"GET /jobs/{job_id}/result{query} HTTP/1.1\r\nHost: api\r\n\r\n".encode() * 4)
        slow.append(connection)
    until("the longest waits end", lambda: (page.value("jobproc_refusals_total", reason="unread_bytes") or 0) > 15)
    for query in ("", "?wait=10"):
        assert len(system.client.get(f"/jobs/{job_id}/result{query}").json()["result"]) == MIB - 100
    assert memory_mib(pid, "VmHWM") - before_mib < MAX_UNREAD_MIB
    for connection in slow:
        connection.close()
