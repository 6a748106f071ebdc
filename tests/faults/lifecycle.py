"""The lifecycle of an environment: it starts in its own folder, and closes whatever it has started."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from rig import redis_users
from rig.servers import serve
from rig.system import System

from tools.servers import Postgres, Redis


class Environment(ABC):
    """Servers and processes that start together. A start that fails closes those that are running."""

    def __init__(self, folder: Path) -> None:
        """Start everything; `folder` must be for this run alone, and readable by all."""
        self.folder = folder
        self._stack = ExitStack()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _start(self) -> None:
        """Start everything, and put its end on the stack."""

    def _start_servers(self, data_folder: Path, options: Mapping[str, str]) -> tuple[Postgres, Redis]:
        """Start PostgreSQL with these options, Redis with its users but without persistence, and create the schema."""
        postgres = Postgres(data_folder / "postgres", self.folder / "postgres.log", options=dict(options))
        users = redis_users.options(self.folder / "redis")
        System.has_redis_users = True
        redis = Redis(self.folder / "redis", self.folder / "redis.log", options=("--save", "", *users))
        serve(self._stack, postgres, redis)
        return postgres, redis

    def close(self) -> None:
        """Stop everything that was started."""
        self._stack.close()
