"""`python -m api`: starts with its options and settings, or ends with a single line that says why it cannot."""

import signal
import socket
from collections.abc import Callable

import httpx
import pytest
from rig.system import System, until

from tools.servers import free_port

OPEN = {"JOBPROC_UNAUTHENTICATED_NETWORK": "true"}


def startup_error(system: System, *arguments: str, **settings: str) -> str:
    """Start the API, which must fail; return its only line on stderr that is not a log line."""
    process = system.spawn("refused", "api", *(arguments or ("--port", str(free_port()))), **settings)
    assert process.wait(15) not in (0, None)
    words = [line for line in system.log("refused").splitlines() if not line.startswith('{"')]
    assert len(words) == 1, words
    system.log_file("refused").unlink()
    return words[0]


def test_an_occupied_port_is_named(system: System) -> None:
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = occupied.getsockname()[1]
        assert (
            startup_error(system, "--port", str(port))
            == f"api: cannot listen on 127.0.0.1:{port}: Address already in use"
        )


def test_an_address_that_cannot_be_listened_on_is_named(system: System) -> None:
    system.env["JOBPROC_UNAUTHENTICATED_NETWORK"] = "true"
    assert startup_error(system, "--host", "192.0.2.1", "--port", "8000").startswith(
        "api: cannot listen on 192.0.2.1:8000: "
    )
    assert startup_error(system, "--port", "70000").startswith("api: cannot listen on 127.0.0.1:70000: ")


def test_every_invalid_setting_is_listed(system: System) -> None:
    words = startup_error(
        system,
        DATABASE_URL="mysql://user:Zebra7@127.0.0.1/db",
        REDIS_URL="http://user:Zebra7@127.0.0.1",
        JOBPROC_MAX_NUMBERS="many",
        JOBPROC_MAX_BODY_BYTES="0",
        JOBPROC_BODY_TIMEOUT_SECONDS="-1",
        JOBPROC_DATABASE_TIMEOUT_SECONDS="NaN",
        JOBPROC_LOG_LEVEL="loud",
        JOBPROC_MAX_BODY_BITES="1",
    )
    assert words.startswith("api: bad settings: ")
    for name in (
        "DATABASE_URL: ", "REDIS_URL: ", "JOBPROC_MAX_NUMBERS: ", "JOBPROC_MAX_BODY_BYTES: ",
        "JOBPROC_BODY_TIMEOUT_SECONDS: ", "JOBPROC_DATABASE_TIMEOUT_SECONDS: ", "JOBPROC_LOG_LEVEL: ",
        "JOBPROC_MAX_BODY_BITES: ",
    ):  # fmt: skip
        assert words.count(name) == 1, name
    assert "Zebra7" not in words


@pytest.mark.parametrize(
    ("database", "redis"),
    [
        ("postgresql://user:Zebra7@127.0.0.1:port/db", "redis://:Zebra7@127.0.0.1:70000/0"),
        ("postgresql://user:Zebra7@127.0.0.1:70000/db", "redis://:Zebra7@127.0.0.1:port/0"),
        ("postgresql://user:Zebra7@[::1/db", "redis://:Zebra7@[::1/0"),
    ],
)
def test_a_malformed_url_prevents_the_start(system: System, database: str, redis: str) -> None:
    words = startup_error(system, DATABASE_URL=database, REDIS_URL=redis)
    assert words.startswith("api: bad settings: ")
    assert "DATABASE_URL: " in words
    assert "REDIS_URL: " in words
    assert "Zebra7" not in words


def test_failpoints_are_refused_in_production(system: System) -> None:
    words = startup_error(system, JOBPROC_ENVIRONMENT="production", JOBPROC_FAILPOINTS="submit.after_commit=kill")
    assert "JOBPROC_FAILPOINTS" in words


def test_the_api_logs_its_settings_with_masked_secrets(make_system: Callable[..., System], database_url: str) -> None:
    """Passwords of URLs: neither settings nor errors about an unavailable server show them."""
    database = database_url.replace("postgres@", "postgres:Zebra7@")
    system = make_system(database, "redis://:Okapi9@127.0.0.1:1/0", JOBPROC_MAX_NUMBERS="77").api()
    system.submit("square_sum", 1)
    until("a doorbell has failed", lambda: system.events("api", "ring_failed"))
    (started,) = system.events("api", "starting")
    assert started["port"] == system.port
    assert started["settings"]["max_numbers"] == "77"
    assert "127.0.0.1" in started["settings"]["database_url"]
    assert "127.0.0.1" in started["settings"]["redis_url"]
    assert not [secret for secret in ("Zebra7", "Okapi9") if secret in system.log("api")]


def test_the_api_logs_where_it_serves(system: System) -> None:
    system.api()
    (event,) = system.events("api", "api_serving")
    assert event["urls"] == [f"http://127.0.0.1:{system.port}"]
    assert httpx.get(event["docs"]).status_code == 200


def test_an_api_on_all_interfaces_logs_urls_that_lead_to_it(system: System) -> None:
    system.spawn("all", "api", "--host", "0.0.0.0", "--port", "0", **OPEN)  # noqa: S104 - the test is about all interfaces
    (event,) = until("the API serves", lambda: system.events("all", "api_serving"))
    local, by_name = event["urls"]
    assert _answers(f"{local}/livez")
    assert by_name.startswith(f"http://{socket.gethostname()}:")
    assert event["docs"] == f"{local}/docs"


def test_the_api_listens_only_on_its_address(system: System) -> None:
    single_port, any_port = free_port(), free_port()
    system.spawn("one", "api", "--host", "127.0.0.2", "--port", str(single_port))
    system.spawn("all", "api", "--host", "0.0.0.0", "--port", str(any_port), **OPEN)  # noqa: S104 - the test is about all interfaces
    until(
        "both processes respond",
        lambda: _answers(f"http://127.0.0.2:{single_port}/livez") and _answers(f"http://127.0.0.3:{any_port}/livez"),
    )
    assert not _answers(f"http://127.0.0.1:{single_port}/livez")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_api_without_output(system: System, sign: signal.Signals) -> None:
    system.api()
    system.submit("square_sum", 1)
    ends_by = signal.SIGTERM if sign == signal.SIGHUP else sign
    assert system.end("api", sign, limit_s=5) in (0, -ends_by, 128 + ends_by)
    assert all(line.startswith('{"') for line in system.log("api").splitlines())
    assert not system.events("api", "library_log")


def test_a_keepalive_connection_is_closed_with_a_response_and_never_during_a_request(system: System) -> None:
    """After SIGTERM no connection is accepted. Each open one may carry another request, whose response closes it."""
    system.api(JOBPROC_KEEPALIVE_DRAIN_SECONDS="10")
    with (
        httpx.Client(base_url=system.client.base_url) as first,
        httpx.Client(base_url=system.client.base_url) as second,
    ):
        assert "connection" not in first.get("/livez").headers
        second.get("/livez")
        system.client.close()
        system.kill("api", signal.SIGTERM)
        until("the API accepts no more connections", lambda: not _answers(f"{first.base_url}/livez"))
        for client in (first, second):
            response = client.post("/jobs/", json={"data": [1], "operation": "square_sum"})
            assert response.status_code == 202
            assert response.headers["connection"] == "close"
    system.processes["api"].wait(3)
    assert system.database.value("SELECT count(*) FROM jobs") == 2


def test_a_shutdown_waits_for_idle_connections_no_longer_than_the_drain_time(system: System) -> None:
    system.api(JOBPROC_KEEPALIVE_DRAIN_SECONDS="0.3")
    system.client.get("/livez")
    assert system.end("api", limit_s=5) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    with pytest.raises(httpx.TransportError):
        system.client.get("/livez")
