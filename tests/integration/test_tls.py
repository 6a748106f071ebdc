"""TLS to PostgreSQL and Redis with an authority and certificates of clients, in front of servers that have no TLS."""

import re
import shutil
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from rig.proxy import Proxy
from rig.settings import ROLE_PREFIX
from rig.system import System, until
from rig.tls import Authority, PostgresTlsProxy, SignedCertificate

pytestmark = [
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed"),
    # asyncio leaves the socket of a refused handshake to the collector.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]
PROCESSES = {
    "migrate": ("common.migrate",),
    "api": ("api", "--port"),
    "worker": ("worker", "--concurrency", "1"),
    "controller": ("worker.controller",),
}
#: By name: what is wrong with a client's view of the server, and what each driver says about it.
WRONG = {
    "authority": "certificate verify failed|self-signed certificate",
    "host": "does not match host name|address mismatch",
    "certificate": "connection requires a valid client certificate",
}


@dataclass(frozen=True)
class Servers:
    """The proxies of both servers, which ask clients for a certificate, and the certificates."""

    postgres: PostgresTlsProxy
    redis: Proxy
    client: SignedCertificate
    other: Authority
    database: str
    number: str

    def database_url(self, wrong: str = "", user: str = "postgres") -> str:
        host = "127.0.0.1" if wrong == "host" else "localhost"
        root = self.other.file if wrong == "authority" else self.client.root
        url = f"postgresql://{user}@{host}:{self.postgres.port}/{self.database}?sslmode=verify-full&sslrootcert={root}"
        return url if wrong == "certificate" else f"{url}&sslcert={self.client.file}&sslkey={self.client.key}"

    def redis_url(self, wrong: str = "") -> str:
        host = "127.0.0.1" if wrong == "host" else "localhost"
        root = self.other.file if wrong == "authority" else self.client.root
        url = f"rediss://{host}:{self.redis.port}/{self.number}?ssl_ca_certs={root}"
        return url if wrong == "certificate" else f"{url}&ssl_certfile={self.client.file}&ssl_keyfile={self.client.key}"


@pytest.fixture
def servers(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Servers]:
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    certificate, client = authority.sign("server"), authority.sign("client", "client")
    address, _, database = database_url.rpartition("/")
    port, _, number = redis_url.rpartition(":")[2].partition("/")
    context = certificate.context(ssl.CERT_REQUIRED)
    with (
        PostgresTlsProxy(int(address.rpartition(":")[2]), certificate, asks_clients=True) as postgres,
        Proxy(int(port), context) as redis,
    ):
        yield Servers(postgres, redis, client, other, database, number)


def test_every_process_works_with_certificates_of_an_authority(
    make_system: Callable[..., System], servers: Servers, database_url: str
) -> None:
    """Without a doorbell, which comes through TLS, a job would wait for a minute."""
    system = make_system(database_url, "", JOBPROC_TICK_SECONDS="60", REDIS_URL=servers.redis_url())
    migration = system.spawn("migrate", "common.migrate", DATABASE_URL=servers.database_url())
    assert migration.wait(30) == 0, system.log("migrate")
    for part in ("api", "worker", "controller"):
        url = servers.redis_url().replace("rediss://", f"rediss://{part}:secret@")
        getattr(system, part)(DATABASE_URL=servers.database_url(user=f"{ROLE_PREFIX}_{part}"), REDIS_URL=url)
    until("Celery is connected", lambda: servers.redis.connections >= 2)
    for _ in range(2):  # the first one may find the operations unknown
        assert system.wait(system.submit("square_sum", 3))["status"] == "SUCCESS"
    answer = system.client.post("/jobs/?wait=10", json={"data": [2], "operation": "square_sum"}).json()
    assert answer["status"] == "SUCCESS"
    assert not [name for name in system.processes if "certificate" in _reasons(system, name)]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_tls_to_postgresql_is_one_sentence_of_each_process(
    make_system: Callable[..., System], servers: Servers, redis_url: str, wrong: str
) -> None:
    system = make_system(servers.database_url(wrong), redis_url, JOBPROC_STARTUP_MAX_WAIT_SECONDS="0.5")
    for name, (module, *arguments) in PROCESSES.items():
        system.spawn(name, module, *arguments, *([str(system.port)] if name == "api" else []))
    for name, process in system.processes.items():
        assert process.wait(30) == 1, system.log(name)
        (sentence,) = [line for line in system.log(name).splitlines() if not line.startswith("{")]
        assert sentence.startswith(f"{name}: ")
        place = f"{'127.0.0.1' if wrong == 'host' else 'localhost'}:{servers.postgres.port}"
        assert f"PostgreSQL at {place}" in sentence
        assert re.search(WRONG[wrong], sentence), sentence


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_tls_to_redis_is_logged_once_by_each_process(
    make_system: Callable[..., System], servers: Servers, database_url: str, wrong: str
) -> None:
    """And costs no job."""
    system = make_system(database_url, servers.redis_url(wrong))
    system.has_redis_users = False
    system.api().controller().spawn("worker", *PROCESSES["worker"])
    for _ in range(2):  # the first one may find the operations unknown
        assert system.wait(system.submit("square_sum", 3))["status"] == "SUCCESS"
    expected = "certificate of the client.*ssl_certfile" if wrong == "certificate" else WRONG[wrong]
    for name, event in (("api", "ring_failed"), ("worker", "redis_unavailable"), ("controller", "redis_unavailable")):
        until(f"{name} says why", partial(system.events, name, event))
        reasons = [entry["reason"] for entry in system.events(name, event)]
        assert all(re.search(expected, reason, re.IGNORECASE) for reason in reasons), reasons
        assert not any("\n" in reason for reason in reasons)
        if event == "redis_unavailable":
            assert len(reasons) == len(set(reasons))


def _reasons(system: System, name: str) -> str:
    return str([event.get("reason") for event in system.events(name, "redis_unavailable")])
