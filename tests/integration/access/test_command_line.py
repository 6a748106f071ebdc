"""The commands of docs/howto/command-line.md work as they are, in a shell, with a key."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rig.keys import new_key
from rig.system import System

PAGE = (Path(__file__).parents[3] / "docs" / "howto" / "command-line.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def shell(secured: System, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a shell that finds `jobproc` and a profile."""
    program = tmp_path / "bin" / "jobproc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m jobproc.cli "$@"\n')
    program.chmod(0o755)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("JOBPROC_")}
    key = new_key(secured.database)
    return {
        **ours,
        "PATH": f"{program.parent}{os.pathsep}{ours['PATH']}",
        "JOBPROC_CONFIG_FILE": str(tmp_path / "config.toml"),
        "JOBPROC_API_KEY": key,
        "JOBPROC_URL": str(secured.client.base_url),
        "KEY": key,
        "API": str(secured.client.base_url),
    }


def bash(script: str, env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-x", "-e", "-o", "pipefail", "-c", script],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def script_of(blocks: list[str]) -> str:
    """Return blocks as a script, in which Python takes the place of jq, which not every machine has."""
    python = (
        f'{sys.executable} -c \'import sys; [print("{{\\"data\\": [" + line.strip() + "]}}") for line in sys.stdin]\''
    )
    return "\n".join(blocks).replace("jq -c '{data: [.]}'", python)


@pytest.mark.timeout(300)
def test_the_commands_of_the_howto_work(shell: dict[str, str], secured: System, tmp_path: Path) -> None:
    assert sum(block.count("jobproc ") for block in BLOCKS) > 50
    ended = bash(script_of(BLOCKS), shell, tmp_path)
    assert ended.returncode == 0, f"{ended.stdout[-3_000:]}\n{ended.stderr[-6_000:]}"
    assert "\n14.0\n" in f"\n{ended.stdout}"
    assert "nothing differs" in ended.stderr
    assert ended.stdout.count("\n2500\n") == 3
    assert "jobproc actions undo" in ended.stderr
    secured.database.rows("DELETE FROM queue_policies")
    secured.database.rows("DELETE FROM schedules")


LATER = "jobproc submit square_sum '{\"data\": [1]}' --delay 900 -o id"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("jobproc get 019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10", 5),
        ("jobproc submit nothing '{}'", 6),
        ("JOBPROC_API_KEY=wrong jobproc list", 7),
        ("jobproc submit fail_in_a_way '{\"data\": [0, 9]}' --max-attempts 1 --wait", 3),
        (
            "JOB=$($LATER); jobproc cancel $JOB >&2; jobproc result $JOB",
            4,
        ),
        ("JOB=$($LATER); jobproc result $JOB --wait 0.1", 9),
        ("$LATER >&2; jobproc list | head -c 0; exit ${PIPESTATUS[0]}", 1),
    ],
)
def test_the_exit_codes(shell: dict[str, str], tmp_path: Path, command: str, code: int) -> None:
    ended = subprocess.run(
        ["bash", "-c", command.replace("$LATER", LATER)],
        env=shell,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
