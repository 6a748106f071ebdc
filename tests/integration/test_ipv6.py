"""jobproc on IPv6 alone: the API listens on ::1, and reaches PostgreSQL and Redis there, as workers do."""

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from rig import redis_users
from rig.servers import folder_for_data, migrated_data
from rig.system import System, until

from tools.servers import Postgres, Redis

HOST = "::1"


def has_ipv6() -> bool:
    """Return True if this machine has the address."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind((HOST, 0))
    except OSError:
        return False
    return True


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Start servers that listen on IPv6 too; return their URLs there."""
    with ExitStack() as stack:
        folder = folder_for_data("ipv6")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        data = migrated_data(folder)
        postgres = Postgres(data, tmp_path / "postgres.log", options={"listen_addresses": f"127.0.0.1,{HOST}"})
        users = redis_users.options(tmp_path / "redis")
        redis = Redis(tmp_path / "redis", tmp_path / "redis.log", options=("--bind", "127.0.0.1", HOST, *users))
        for server in (postgres, redis):
            stack.callback(server.stop)
            server.start()
        yield f"postgresql://postgres@[{HOST}]:{postgres.port}/postgres", f"redis://[{HOST}]:{redis.port}/0"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_job_is_taken_and_run_over_ipv6(make_system: Callable[..., System], urls: tuple[str, str]) -> None:
    system = make_system(*urls)
    api = system.spawn("api", "api", "--host", HOST, "--port", str(system.port))
    with httpx.Client(base_url=f"http://[{HOST}]:{system.port}", timeout=20) as client:

        def answers() -> bool:
            assert api.poll() is None
            try:
                return client.get("/readyz").status_code == 200
            except httpx.TransportError:
                return False

        until("the API is ready", answers)
        system.worker()
        response = client.post("/jobs/?wait=15", json={"operation": "square_sum", "data": [1, 2, 3]})
        assert (response.status_code, response.json()["result"]) == (200, 14.0)
        with pytest.raises(httpx.ConnectError):
            system.client.get("/livez")  # on 127.0.0.1
