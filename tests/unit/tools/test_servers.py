"""Ports and processes of the local servers."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tools.servers import Postgres, Redis, free_port, port_is_free, spawn, stop, wait_for

#: From Python 3.12 on forking beside other threads warns; what the children here do needs no lock.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    assert port_is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not port_is_free(port)
    assert port_is_free(port), "a port that was just closed is free"


def test_a_free_port_is_below_the_range_of_client_ports() -> None:
    """From that range another process's client got the port, now and then, before the server could listen."""
    port_range = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(port_range.read_text().split()[0]) if port_range.exists() else 49_152
    assert all(free_port() < lowest for _ in range(200))


def test_a_port_taken_on_every_address_is_taken_on_each() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - the case under test
        port = server.getsockname()[1]
        assert not port_is_free(port)
        assert not port_is_free(port, "0.0.0.0")  # noqa: S104 - as above


def test_a_port_of_another_machines_address_is_not_free() -> None:
    assert not port_is_free(free_port(), "192.0.2.1")


def test_a_server_uses_the_given_port_and_otherwise_a_free_one(tmp_path: Path) -> None:
    assert Postgres(tmp_path, tmp_path / "log", 1234).url("db") == "postgresql://postgres@127.0.0.1:1234/db"
    assert Redis(tmp_path, tmp_path / "log", 1235).url == "redis://127.0.0.1:1235/0"
    assert Postgres(tmp_path, tmp_path / "log").port > 0


def test_a_child_has_its_own_session_and_environment_and_its_output_is_appended_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    log.write_text("before\n")
    code = (
        "import os, sys; print(os.getsid(0) == os.getpid(), sorted(os.environ), flush=True); "
        "print('wrong', file=sys.stderr)"
    )
    child = spawn([sys.executable, "-S", "-c", code], log, {"ONLY": "this", "LC_CTYPE": "C.UTF-8"}, cwd=tmp_path)
    assert child.wait(20) == 0
    assert log.read_text() == "before\nTrue ['LC_CTYPE', 'ONLY']\nwrong\n"


def test_a_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    child = spawn([sys.executable, "-S", "-c", code], log)
    wait_for("the child", lambda: "ready" in log.read_text(), child, 20)
    stop(child, limit_s=0.1)
    assert child.returncode == -signal.SIGKILL
    stop(child)
    stop(None)


def test_a_wait_ends_when_the_process_ends_or_the_time_is_up(tmp_path: Path) -> None:
    gone = spawn([sys.executable, "-S", "-c", "raise SystemExit(3)"], tmp_path / "log")
    gone.wait(20)
    with pytest.raises(RuntimeError, match="the child ended with code 3"):
        wait_for("the child", lambda: False, gone)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"^the moon is not ready after 0\.1 s$"):
        wait_for("the moon", lambda: False, limit_s=0.1)
    assert time.monotonic() - began < 5
    wait_for("the past", lambda: True, gone)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_child_ends_with_its_parent_even_if_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    parent = os.fork()
    if parent == 0:
        spawn([sys.executable, "-S", "-c", code], log)
        time.sleep(60)
        os._exit(0)
    wait_for("the child", lambda: log.exists() and log.read_text().endswith("\n"), limit_s=20)
    child = int(log.read_text())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_for("the end of the child", gone, limit_s=20)
