"""`make run` as far as it needs no servers: its environment, its ports, its error messages."""

import json
import re
import socket
import sys
from pathlib import Path

import pytest

from common.first_key_file import kept_key
from tools.run import processes
from tools.run.addresses import example
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
    (folder.parent / ".env").write_text(
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


@pytest.mark.parametrize("host", [EVERY_ADDRESS, "192.0.2.1", "::"])
def test_an_address_that_other_machines_reach_is_refused_without_authentication(folder: Path, host: str) -> None:
    run = Run(host, free_port(), folder)
    sentence = f"every machine that reaches {host} could do everything: use `make run HOST={host} AUTH=1`"
    with pytest.raises(RunError, match=re.escape(sentence)):
        run.start()
    assert run.children == {}


@pytest.mark.parametrize(
    ("host", "variables"),
    [("127.0.0.1", {}), ("localhost", {}), ("::1", {}), (EVERY_ADDRESS, {"JOBPROC_UNAUTHENTICATED_NETWORK": "true"})],
)
def test_without_authentication_the_run_says_so_in_one_line(
    folder: Path, host: str, variables: dict[str, str], bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables.items():
        bare.setenv(name, value)
    run = Run(host, 1, folder)
    run.authentication.check(host)
    assert run.env["JOBPROC_AUTHENTICATION"] == "off"
    assert capsys.readouterr().out == (
        "  authentication is off: all who reach the API may do everything (`make run AUTH=1` turns it on)\n"
    )
    assert (run.authentication.header, run.authentication.key) == ({}, "")


@pytest.mark.parametrize(("variable", "auth"), [("required", False), ("off", True), (None, True)])
def test_authentication_is_on_if_asked_for_or_set(
    folder: Path, variable: str | None, auth: bool, bare: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        bare.setenv("JOBPROC_AUTHENTICATION", variable)
    run = Run(EVERY_ADDRESS, 1, folder, auth=auth)
    run.authentication.check(EVERY_ADDRESS)
    assert run.env["JOBPROC_AUTHENTICATION"] == "required"
    assert run.authentication.key == kept_key(folder / "api-key").text
    assert example(run).startswith(
        f"curl -sS http://127.0.0.1:1/jobs/ -H 'Authorization: Bearer {run.authentication.key}'"
    )


def test_a_key_of_the_user_is_the_first_one_and_operations_keep_theirs(folder: Path, bare: pytest.MonkeyPatch) -> None:
    bare.setenv("JOBPROC_FIRST_API_KEY", "jp_mine")
    run = Run("127.0.0.1", 1, folder, auth=True)
    assert (run.authentication.key, run.authentication.place) == ("jp_mine", "JOBPROC_FIRST_API_KEY")
    assert run.authentication.key_of_operations == {"JOBPROC_API_KEY": "jp_mine"}
    bare.setenv("JOBPROC_API_KEY", "jp_other")
    assert Run("127.0.0.1", 1, folder, auth=True).authentication.key_of_operations == {}
    assert not (folder / "api-key").exists()


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
