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
    assert port_is_free(port), "a port that was just left is free"


def test_a_free_port_is_none_that_the_kernel_may_give_to_a_connection_meanwhile() -> None:
    """A client of another process had it, now and then, before who asked for it could listen."""
    given: Path = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(given.read_text().split()[0]) if given.exists() else 49_152
    assert all(free_port() < lowest for _ in range(200))


def test_a_port_taken_on_every_address_is_taken_on_each() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - that is the case in question
        port = server.getsockname()[1]
        assert not port_is_free(port)
        assert not port_is_free(port, "0.0.0.0")  # noqa: S104 - as above


def test_an_address_that_is_not_ours_is_not_free() -> None:
    assert not port_is_free(free_port(), "192.0.2.1")


def test_servers_take_the_port_that_they_are_given_and_else_a_free_one(tmp_path: Path) -> None:
    assert Postgres(tmp_path, tmp_path / "log", 1234).url("db") == "postgresql://postgres@127.0.0.1:1234/db"
    assert Redis(tmp_path, tmp_path / "log", 1235).url == "redis://127.0.0.1:1235/0"
    assert Postgres(tmp_path, tmp_path / "log").port > 0


def test_a_child_has_its_own_session_and_environment_and_its_output_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    log.write_text("before\n")
    code = "import os, sys; print(os.getsid(0) == os.getpid(), sorted(os.environ), flush=True); print('wrong', file=sys.stderr)"
    child = spawn([sys.executable, "-S", "-c", code], log, {"ONLY": "this", "LC_CTYPE": "C.UTF-8"}, cwd=tmp_path)
    assert child.wait(20) == 0
    assert log.read_text() == "before\nTrue ['LC_CTYPE', 'ONLY']\nwrong\n"


def test_a_child_that_does_not_go_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    child = spawn([sys.executable, "-S", "-c", code], log)
    wait_for("the child", lambda: "ready" in log.read_text(), child, 20)
    stop(child, limit_s=0.1)
    assert child.returncode == -signal.SIGKILL
    stop(child)
    stop(None)


def test_waiting_ends_with_the_process_or_the_time(tmp_path: Path) -> None:
    gone = spawn([sys.executable, "-S", "-c", "raise SystemExit(3)"], tmp_path / "log")
    gone.wait(20)
    with pytest.raises(RuntimeError, match="the child ended with code 3"):
        wait_for("the child", lambda: False, gone)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"^the moon is not ready after 0\.1 s$"):
        wait_for("the moon", lambda: False, limit_s=0.1)
    assert time.monotonic() - began < 5
    wait_for("what is there", lambda: True, gone)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_a_child_dies_with_its_parent_however_that_ends(tmp_path: Path) -> None:
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
