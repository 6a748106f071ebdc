"""Places of an API process: one address cannot take all connections, long polls or event streams."""

import http.client
import resource
import socket
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from rig.process_usage import cpu_s
from rig.proxy import Proxy
from rig.scrape import MetricsPage
from rig.system import System, until

ATTACKER, OTHER = "127.0.0.3", "127.0.0.2"
HALF_HEAD = b"GET /livez HTTP/1.1\r\nHost: a"
CONNECTIONS = 60
QUICK_S = 3.0  # an answer takes milliseconds; the rest is for a busy machine

Connect = Callable[[System, str], socket.socket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a function that connects to a system's API from a local address. Connections are closed after the test."""
    sockets: list[socket.socket] = []

    def connected(system: System, address: str) -> socket.socket:
        sockets.append(socket.create_connection(("127.0.0.1", system.port), 10, (address, 0)))
        return sockets[-1]

    yield connected
    for connection in sockets:
        connection.close()


def ask(
    system: System, path: str = "/livez", address: str = OTHER, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Send a request from a local address on a connection of its own."""
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=10) as client:
        return client.get(f"http://127.0.0.1:{system.port}{path}", headers=headers)


def read_status(connection: socket.socket) -> tuple[int, str | None]:
    """Return the status and the Retry-After of a response that comes without a request."""
    with http.client.HTTPResponse(connection) as response:
        response.begin()
        return response.status, response.getheader("Retry-After")


def refused(system: System, reason: str) -> list[dict[str, Any]]:
    return [line for line in system.events("api", "clients_refused") if line["reason"] == reason]


def start_waiting(system: System, connection: socket.socket, path: str, headers: str = "") -> int:
    """Send a request that waits; return the status of a response that comes at once, 0 for a long poll that waits."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: api\r\n{headers}\r\n".encode())
    connection.settimeout(0.3 if "wait" in path else QUICK_S)
    try:
        return int(connection.recv(65_536).split()[1])
    except TimeoutError:
        return 0


def test_a_flood_of_one_address_leaves_connections_for_others(system: System, connect: Connect) -> None:
    page = MetricsPage()
    system.api(
        JOBPROC_MAX_CONNECTIONS=str(CONNECTIONS),
        JOBPROC_MAX_PERCENT_PER_ADDRESS="25",
        JOBPROC_METRICS_PORT=page.port,
    )
    flood = [connect(system, ATTACKER) for _ in range(CONNECTIONS)]
    for connection in flood[:15]:
        connection.sendall(HALF_HEAD)
    assert [read_status(connection) for connection in flood[15:]] == [(503, "1")] * 45
    assert all(connection.recv(1) == b"" for connection in flood[15:]), "a refused connection is closed"
    began = time.monotonic()
    assert ask(system).status_code == 200
    assert time.monotonic() - began < QUICK_S
    assert page.value("jobproc_refusals_total", reason="connections_of_address") == 45
    until("all are logged", lambda: sum(line["count"] for line in refused(system, "connections_of_address")) == 45)
    assert 1 <= len(refused(system, "connections_of_address")) <= 10
    assert refused(system, "connections_of_address")[0]["address"] == ATTACKER
    for connection in flood:
        connection.close()
    until("its places are free", lambda: ask(system, address=ATTACKER).status_code == 200)


def test_a_full_process_answers_503_at_once_and_its_probes(system: System, connect: Connect) -> None:
    page = MetricsPage()
    system.api(JOBPROC_MAX_CONNECTIONS="10", JOBPROC_METRICS_PORT=page.port)
    for _ in range(9):  # the client of the rig has one
        connect(system, ATTACKER).sendall(HALF_HEAD)
    until("they are accepted", lambda: ask(system).status_code == 503)
    response = ask(system)
    assert response.json()["type"] == "urn:jobproc:problem:too-many-connections"
    assert (response.headers["retry-after"], response.headers["connection"]) == ("1", "close")
    for path in ("/livez", "/readyz"):
        probe = httpx.get(f"http://127.0.0.1:{page.port}{path}", timeout=QUICK_S)
        assert (probe.status_code, probe.text) == (200, "ok\n")


def test_probes_on_the_port_of_the_metrics_tell_what_fails_within_their_limit(
    make_system: Callable[..., System], database_url: str, redis_url: str
) -> None:
    page = MetricsPage()
    with Proxy.before(database_url) as proxy:
        system = make_system(proxy.url_of(database_url), redis_url)
        system.api(
            JOBPROC_METRICS_PORT=page.port, JOBPROC_DATABASE_TIMEOUT_SECONDS="60", JOBPROC_PROBE_TIMEOUT_SECONDS="0.5"
        )

        def probe(path: str) -> tuple[int, str]:
            response = httpx.get(f"http://127.0.0.1:{page.port}{path}", timeout=10)
            return response.status_code, response.text

        assert probe("/readyz") == (200, "ok\n")
        proxy.hang()
        assert probe("/readyz") == (503, "no answer within 0.5 s\n")
        assert probe("/livez") == (200, "ok\n")
        proxy.heal()
        until("it is ready again", lambda: probe("/readyz")[0] == 200)
        assert probe("/jobs")[0] == 404


@pytest.mark.parametrize(
    ("path", "waiting", "reason"),
    [("events", 200, "event_streams"), ("result?wait=30", 0, "long_polls")],
)
def test_one_address_cannot_take_all_places_of_waiting_clients(
    system: System, connect: Connect, path: str, waiting: int, reason: str
) -> None:
    page = MetricsPage()
    system.api(
        JOBPROC_EVENT_STREAM_MAX_CLIENTS="8",
        JOBPROC_LONG_POLL_MAX_CLIENTS="8",
        JOBPROC_MAX_PERCENT_PER_ADDRESS="25",
        JOBPROC_METRICS_PORT=page.port,
    )
    path = f"/jobs/{system.submit('square_sum', 1)}/{path}"
    statuses = [start_waiting(system, connect(system, ATTACKER), path) for _ in range(4)]
    assert statuses == [waiting, waiting, 503, 503]
    for address in ("127.0.0.4", "127.0.0.5", OTHER):
        assert [start_waiting(system, connect(system, address), path) for _ in range(2)] == [waiting, waiting]
    assert ask(system, path, "127.0.0.6").json()["type"] == "urn:jobproc:problem:too-many-waiting"
    assert page.value("jobproc_refusals_total", reason=f"{reason}_of_address") == 2
    assert page.value("jobproc_refusals_total", reason=reason) == 1


def test_clients_of_a_trusted_proxy_are_told_apart(system: System, connect: Connect) -> None:
    """The proxy has as many connections as it wants. Addresses from others are not believed."""
    system.api(
        JOBPROC_MAX_CONNECTIONS="40",
        JOBPROC_EVENT_STREAM_MAX_CLIENTS="8",
        JOBPROC_MAX_PERCENT_PER_ADDRESS="25",
        JOBPROC_TRUSTED_PROXIES="127.0.0.7/32, 10.0.0.0/8",
    )
    path = f"/jobs/{system.submit('square_sum', 1)}/events"

    def status(address: str, *headers: str) -> int:
        return start_waiting(system, connect(system, address), path, "".join(f"{header}\r\n" for header in headers))

    proxy = "127.0.0.7"
    assert [status(proxy, "X-Forwarded-For: 1.2.3.4, 10.0.0.1") for _ in range(3)] == [200, 200, 503]
    assert status(proxy, "X-Forwarded-For: 9.9.9.9, 1.2.3.4") == 503, "the client's own header is not believed"
    assert status(proxy, 'Forwarded: for="[2001:db8::1]:4711";proto=https') == 200
    assert status(proxy, "X-Forwarded-For: 2001:db8::2") == 200
    assert status(proxy, "X-Forwarded-For: 2001:db8::3") == 503, "a /64 network counts as one address"
    assert [status(ATTACKER, f"X-Forwarded-For: 1.2.3.{number}") for number in range(3)] == [200, 200, 503]
    idle = [connect(system, proxy) for _ in range(15)]
    idle[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    assert read_status(idle[-1])[0] == 200, "a proxy has more than its share of connections"


def test_a_process_without_open_files_says_so_and_recovers(system: System, connect: Connect) -> None:
    """It needs no CPU time meanwhile."""
    page = MetricsPage()
    system.api(JOBPROC_METRICS_PORT=page.port, JOBPROC_MAX_CONNECTIONS="100")
    pid = system.processes["api"].pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()}
    free = (number for number in range(10_000) if number not in used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (list(islice(free, 6))[-1], before[1]))  # 5 more
    # A connection to the database may close meanwhile, and leave its place to one more client.
    until("it is logged", lambda: connect(system, ATTACKER) and refused(system, "open_files"))
    cpu_before_s = cpu_s(pid)
    until("it is logged again", lambda: len(refused(system, "open_files")) > 1)
    assert cpu_s(pid) - cpu_before_s < 0.5
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert until("it accepts connections again", lambda: _answers(system))
    assert (page.value("jobproc_refusals_total", reason="open_files") or 0) >= 2


def _answers(system: System) -> bool:
    try:
        return ask(system).status_code == 200
    except httpx.HTTPError:
        return False


def test_more_connections_than_open_files_are_refused_at_the_start(system: System) -> None:
    process = system.spawn("api", "api", "--port", str(system.port), JOBPROC_MAX_CONNECTIONS="10000000")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 10_000_000:
        pytest.skip("the limit of open files is larger")
    until("it has ended", lambda: process.poll() is not None)
    assert "JOBPROC_MAX_CONNECTIONS=10000000: a limit of 10000133 open files is needed" in system.log("api")
