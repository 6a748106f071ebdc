"""Why a process has ended: its signal or exit code, and the memory limit."""

from pathlib import Path

import pytest

from common.domain.decisions import WORKER_LOST, AttemptOutcome
from worker.process_tree.exits import ProcessExits
from worker.process_tree.memory_limit import MemoryFiles, MemoryLimit
from worker.supervision.death_causes import CODE_LIMIT_S, DeathCauses

PID = 10_000_000  # above every pid that Linux gives
LIMIT = "the memory limit of 256 MiB was used up"


class Container:
    """The files of a container, and the exits of its processes."""

    def __init__(self, folder: Path) -> None:
        self.kills, limit = folder / "kills", folder / "limit"
        self.set_kills(0)
        limit.write_text(str(256 << 20))
        self.exits = ProcessExits()
        self.causes = DeathCauses(self.exits, MemoryLimit(MemoryFiles(self.kills, limit)))

    def set_kills(self, number: int) -> None:
        self.kills.write_text(f"oom_kill {number}\n")

    def text(self, code: int) -> str:
        self.exits.add(PID, code)
        failure = self.causes.find(PID, 0.0)
        assert failure is not None
        assert (failure.outcome, failure.error_type) == (AttemptOutcome.LOST, "worker_lost")
        return failure.error_text


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


@pytest.mark.parametrize(
    ("code", "how"), [(-11, "was ended by SIGSEGV"), (-9, "was ended by SIGKILL"), (3, "ended with exit code 3")]
)
def test_the_failure_says_how_the_process_ended(container: Container, code: int, how: str) -> None:
    assert container.text(code) == f"the worker process {how}"


@pytest.mark.parametrize(("code", "is_memory"), [(-9, True), (-11, False), (1, False)])
def test_only_a_kill_is_explained_by_the_memory_limit(container: Container, code: int, is_memory: bool) -> None:
    container.set_kills(1)
    assert (LIMIT in container.text(code)) is is_memory


def test_an_earlier_kill_explains_nothing(container: Container) -> None:
    container.set_kills(1)
    container.causes.tick()
    container.causes.tick()
    assert LIMIT not in container.text(-9)


def test_an_unknown_exit_code_is_awaited_for_a_while(container: Container) -> None:
    assert container.causes.find(PID, 5.0) is None
    assert container.causes.find(PID, 5.0 + CODE_LIMIT_S / 2) is None
    assert container.causes.find(PID, 5.0 + CODE_LIMIT_S) == WORKER_LOST
    container.causes.forget(PID)
    assert container.causes.find(PID, 50.0) is None, "another process with its pid"
