"""A process of the migrations, as a test starts it."""

import os
from collections.abc import Callable
from pathlib import Path

from rig.fork_server import python_path
from rig.system import System

Start = Callable[..., "Run"]


class Run:
    """A process of the migrations. Its output goes to a file."""

    def __init__(self, folder: Path, url: str, *arguments: str, **settings: str) -> None:
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("JOBPROC_") or name == "JOBPROC_DATABASE_POOLER"
        }
        env |= {
            "DATABASE_URL": url,
            "REDIS_URL": "redis://127.0.0.1:1/0",
            **python_path(),
            "JOBPROC_LOCK_TIMEOUT_SECONDS": "0.2",
            **settings,
        }
        self._log = folder / f"run{len(list(folder.iterdir()))}.log"
        self._log.touch()
        assert System.fork_server is not None
        self.process = System.fork_server.fork("common.migrate", arguments, self._log, env, folder)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait(self, limit_s: float = 30) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(limit_s)

    @property
    def messages(self) -> list[str]:
        """The lines of its output that are no log events."""
        return [line for line in self.log.splitlines() if not line.startswith("{")]

    def expect_refusal(self, *words: str) -> None:
        """Expect exit code 1, and one sentence with these words."""
        assert self.wait() == 1
        assert len(self.messages) == 1, self.log
        assert self.messages[0].startswith("migrate: ")
        for word in words:
            assert word in self.messages[0]
