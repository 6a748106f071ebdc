"""`make run` as far as it needs no servers: its environment, its ports, its error messages."""

import json
import socket
import sys
from pathlib import Path

import pytest

from tools.run import processes
from tools.run.console import RunError
from tools.run.folder import PORTS, delete_data, locked, remembered_ports
from tools.run.processes import Run, read_env
from tools.servers import free_port, spawn


@pytest.fixture
def folder(bare: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a run, in an empty folder in place of the repository."""
    bare.setattr(processes, "ROOT", tmp_path)
    local = tmp_path / "local"
    local.mkdir()
    return local


def test_a_file_env_is_read_with_comments_exports_and_quotes(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert read_env(file) == {}
    file.write_text("# comment\nA=1\nexport B='two words'\nC=\"x#y\" # more\nD=\nE\nURL=postgresql://u:p%40@h/db?a=b\n")
    assert read_env(file) == {"A": "1", "B": "two words", "C": "x#y", "D": "", "URL": "postgresql://u:p%40@h/db?a=b"}


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(
    folder: Path, bare: pytest.MonkeyPatch
) -> None:
    (processes.ROOT / ".env").write_text(
        "DATABASE_URL=postgresql://file/db\nREDIS_URL=redis://file\nJOBPROC_LOG_FORMAT=json\n"
    )
    bare.setenv("DATABASE_URL", "postgresql://environment/db")
    env = Run("127.0.0.1", 1, folder).env
    assert env["DATABASE_URL"] == "postgresql://environment/db"
    assert env["REDIS_URL"] == "redis://file"
    assert env["JOBPROC_LOG_FORMAT"] == "json"


def test_without_a_file_env_the_log_is_for_people_and_the_servers_are_embedded(folder: Path) -> None:
    env = Run("127.0.0.1", 1, folder).env
    assert env["JOBPROC_LOG_FORMAT"] == "console"
    assert "DATABASE_URL" not in env
    assert "REDIS_URL" not in env


EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - an argument, not bound


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        (EVERY_ADDRESS, "http://127.0.0.1:8000"),
        ("192.0.2.1", "http://192.0.2.1:8000"),
    ],
)
def test_the_printed_address_can_be_opened(folder: Path, host: str, base: str) -> None:
    assert Run(host, 8000, folder).base == base


def test_a_taken_port_is_reported_in_one_sentence_before_a_process_is_started(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = Run("127.0.0.1", port, folder)
        with pytest.raises(RunError, match=rf"^port {port} of 127\.0\.0\.1 is taken: .* `make run PORT=8001`$"):
            taken.start()
    assert taken.children == {}
    assert taken.postgres is None


def test_the_ports_of_the_servers_are_remembered_while_they_are_free(folder: Path) -> None:
    ports = remembered_ports(folder)
    assert set(ports) == set(PORTS)
    assert len(set(ports.values())) == len(PORTS)
    assert remembered_ports(folder) == ports == json.loads((folder / "ports.json").read_text())
    with socket.create_server(("127.0.0.1", ports["redis"])):
        moved = remembered_ports(folder)
    assert moved["postgres"] == ports["postgres"]
    assert moved["redis"] != ports["redis"]
    assert remembered_ports(folder) == moved


def test_a_second_run_in_the_same_folder_is_refused_in_one_sentence(folder: Path) -> None:
    with (
        locked(folder),
        pytest.raises(RunError, match=r"^`make run` already runs in this folder: end it with Ctrl-C first$"),
    ):
        locked(folder)
    locked(folder).close()


def test_a_child_that_has_ended_is_reported_with_the_end_of_its_log(folder: Path) -> None:
    started = Run("127.0.0.1", free_port(), folder)
    started.logs.mkdir()
    code = "import sys; print('\\n'.join(map(str, range(100)))); sys.exit('no database')"
    started.children["worker"] = spawn([sys.executable, "-u", "-S", "-c", code], started.logs / "worker.log")
    started.children["worker"].wait(20)
    with pytest.raises(RunError) as caught:
        started.check()
    first, *rest = str(caught.value).splitlines()
    assert first == f"worker ended with code 1; the end of {started.logs / 'worker.log'}:"
    assert len(rest) == 20
    assert rest[-1].strip() == "no database"


def test_the_data_and_logs_are_deleted_but_not_during_a_run(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("18")
    (folder / "log").mkdir()
    (folder / "wheels").mkdir()
    remembered_ports(folder)
    with locked(folder), pytest.raises(RunError, match="already runs in this folder"):
        delete_data(folder)
    assert (folder / "postgres" / "PG_VERSION").exists()
    assert {path.name for path in delete_data(folder)} == {"postgres", "log", "ports.json"}
    assert {path.name for path in folder.iterdir()} == {"lock", "wheels"}
    assert delete_data(folder) == []
    assert delete_data(folder / "none") == []
    assert not (folder / "none").exists()
