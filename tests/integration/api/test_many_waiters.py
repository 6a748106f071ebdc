"""Thousands of clients wait on one API process."""

import asyncio
import contextlib
import os
import resource
import time
from pathlib import Path

import pytest
from rig.scrape import Page
from rig.system import System, until

CLIENTS = int(os.environ.get("JOBPROC_TEST_WAITERS", "2000"))
AT_ONCE = 200  # connections that are being made
JOBS = 50
#: Two thousand answers by one process, on a machine that does other things too.
MOST = {"seconds late": max(3, CLIENTS / 1_000), "KiB a client": 60, "connections to PostgreSQL": 6, "seconds of a read": 1, "CPU of waiting": 0.5}
FILES = 100  # of everything else


@pytest.fixture
def files() -> None:
    """Room for a connection of each client in this process and in those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CLIENTS + FILES:
        pytest.skip(f"the limit of open files is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CLIENTS + FILES), hard))


def _memory_kib(pid: int) -> int:
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))


async def _client(port: int, job_id: str, gate: asyncio.Semaphore) -> tuple[float, bytes]:
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /jobs/{job_id}/result?wait=60 HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
    answer = await reader.read()
    at = time.monotonic()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return at, answer


@pytest.mark.usefixtures("files")
def test_thousands_of_clients_wait_and_each_is_told(system: System) -> None:
    """Without a database connection of their own, in little memory, beside others that are served as ever."""
    page = Page()
    system.api(JOBPROC_METRICS_PORT=page.port).controller()
    pid = system.processes["api"].pid
    job_ids = system.submit_many("square_sum", [[float(number)] for number in range(JOBS)])
    seen: dict[str, float] = {}
    before_kib = _memory_kib(pid)

    def while_they_wait() -> None:
        until("all wait", lambda: page.value("jobproc_waiting_clients", **{"for": "result"}) == CLIENTS, 60, 0.2)
        seen["KiB a client"] = (_memory_kib(pid) - before_kib) / CLIENTS
        seen["connections to PostgreSQL"] = system.database.one(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobproc-api' AND datname = current_database()"
        )
        before_s = _cpu_s(pid)
        seen["seconds of a read"] = system.client.get(f"/jobs/{job_ids[0]}").elapsed.total_seconds()
        time.sleep(2)  # that is measured
        seen["CPU of waiting"] = (_cpu_s(pid) - before_s) / 2
        system.worker()
        system.wait_all()
        seen["ended"] = time.monotonic()

    async def run() -> list[tuple[float, bytes]]:
        gate = asyncio.Semaphore(AT_ONCE)
        clients = [asyncio.create_task(_client(system.port, job_ids[number % JOBS], gate)) for number in range(CLIENTS)]
        await asyncio.to_thread(while_they_wait)
        return await asyncio.gather(*clients)

    answers = asyncio.run(run())
    seen["seconds late"] = max(at for at, _ in answers) - seen.pop("ended")
    print(f"{CLIENTS} clients: {seen}")
    assert all(b" 200 OK" in answer and b'"SUCCESS"' in answer for _, answer in answers)
    assert {float(answer.rpartition(b'"result":')[2].rstrip(b"}")) for _, answer in answers} == {float(number * number) for number in range(JOBS)}
    assert {name: value for name, value in seen.items() if value >= MOST[name]} == {}


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
