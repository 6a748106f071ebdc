"""Long polls of thousands of clients on a single API process."""

import asyncio
import contextlib
import os
import resource
import time

import pytest
from rig.process_usage import cpu_s, memory_mib
from rig.scrape import MetricsPage
from rig.system import System, until

CLIENTS = int(os.environ.get("JOBPROC_TEST_WAITERS", "2000"))
MAX_CONNECTING = 200  # connections that are being opened
JOBS = 50
#: Limits for two thousand responses by a single process on a busy machine.
MAXIMA = {
    "seconds late": max(3, CLIENTS / 1_000),
    "KiB a client": 60,
    "connections to PostgreSQL": 6,
    "seconds of a read": 1,
    "CPU of waiting": 0.5,
}
OTHER_FILES = 100  # open files that are not connections of clients


@pytest.fixture
def file_limit() -> None:
    """Raise the limit of open files for the connections of all clients, here and in child processes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CLIENTS + OTHER_FILES:
        pytest.skip(f"the limit of open files is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CLIENTS + OTHER_FILES), hard))


async def _client(port: int, job_id: str, gate: asyncio.Semaphore) -> tuple[float, bytes]:
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /jobs/{job_id}/result?wait=60 HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
    response = await reader.read()
    at = time.monotonic()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return at, response


@pytest.mark.usefixtures("file_limit")
def test_thousands_of_waiting_clients_each_get_their_result(system: System) -> None:
    """In little memory, with few database connections and CPU, while other requests are served as quickly as ever."""
    page = MetricsPage()
    system.api(JOBPROC_METRICS_PORT=page.port).controller()
    pid = system.processes["api"].pid
    job_ids = system.submit_many("square_sum", [[float(number)] for number in range(JOBS)])
    measured: dict[str, float] = {}
    before_mib = memory_mib(pid)

    def measure_while_they_wait() -> None:
        until("all clients wait", lambda: page.value("jobproc_waiting_clients", kind="result") == CLIENTS, 60, 0.2)
        measured["KiB a client"] = (memory_mib(pid) - before_mib) * 1_024 / CLIENTS
        measured["connections to PostgreSQL"] = system.database.value(
            """SELECT count(*) FROM pg_stat_activity
               WHERE usename = 'jobproc_test_api' AND datname = current_database()"""
        )
        before_s = cpu_s(pid)
        measured["seconds of a read"] = system.client.get(f"/jobs/{job_ids[0]}").elapsed.total_seconds()
        time.sleep(2)  # the measured period
        measured["CPU of waiting"] = (cpu_s(pid) - before_s) / 2
        system.worker()
        system.wait_all()
        measured["ended"] = time.monotonic()

    async def run() -> list[tuple[float, bytes]]:
        gate = asyncio.Semaphore(MAX_CONNECTING)
        clients = [asyncio.create_task(_client(system.port, job_ids[number % JOBS], gate)) for number in range(CLIENTS)]
        await asyncio.to_thread(measure_while_they_wait)
        return await asyncio.gather(*clients)

    responses = asyncio.run(run())
    measured["seconds late"] = max(at for at, _ in responses) - measured.pop("ended")
    print(f"{CLIENTS} clients: {measured}")
    assert all(b" 200 OK" in response and b'"SUCCESS"' in response for _, response in responses)
    assert {float(response.rpartition(b'"result":')[2].rstrip(b"}")) for _, response in responses} == {
        float(number * number) for number in range(JOBS)
    }
    assert {name: value for name, value in measured.items() if value >= MAXIMA[name]} == {}
