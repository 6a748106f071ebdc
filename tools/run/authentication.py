"""Authentication of a run: off on loopback addresses unless asked for; the first API key is kept in the folder."""

from collections.abc import Mapping
from pathlib import Path

from common.first_key_file import kept_key
from common.server_urls.addresses import is_loopback
from tools.run.console import RunError, say
from tools.run.folder import FIRST_KEY

VARIABLE = "JOBPROC_AUTHENTICATION"
TRUE = {"1", "true", "t", "yes", "y", "on"}


class RunAuthentication:
    """Says whether requests need a key, and has the key."""

    def __init__(self, env: dict[str, str], folder: Path, *, asked_for: bool) -> None:
        """Set the variable of the processes. `env`: theirs; `asked_for`: True turns it on, whatever that says."""
        if asked_for:
            env[VARIABLE] = "required"
        self.is_on = env.setdefault(VARIABLE, "off") != "off"
        self._env = env
        self._file = folder / FIRST_KEY

    def check(self, host: str) -> None:
        """Say that authentication is off. Raises RunError if other machines could then do everything."""
        if self.is_on:
            return
        if not is_loopback(host) and self._env.get("JOBPROC_UNAUTHENTICATED_NETWORK", "").lower() not in TRUE:
            raise RunError(
                f"authentication is off, so every machine that reaches {host} could do everything: "
                f"use `make run HOST={host} AUTH=1`"
            )
        say("authentication is off: all who reach the API may do everything (`make run AUTH=1` turns it on)")

    @property
    def migration_arguments(self) -> list[str]:
        """Arguments with which the migration stores the first key, and makes it in the first run."""
        return ["--first-key-file", str(self._file.resolve())] if self.is_on else []

    @property
    def key(self) -> str:
        """The first key, once the migration has ended; empty while authentication is off."""
        if not self.is_on:
            return ""
        return self._env.get("JOBPROC_FIRST_API_KEY") or kept_key(self._file).text

    @property
    def key_of_operations(self) -> Mapping[str, str]:
        """The variable with which operations submit further jobs, unless the user has set it."""
        return {"JOBPROC_API_KEY": self.key} if self.is_on and not self._env.get("JOBPROC_API_KEY") else {}

    @property
    def header(self) -> Mapping[str, str]:
        """The header of requests; none while authentication is off."""
        return {"Authorization": f"Bearer {self.key}"} if self.is_on else {}

    @property
    def place(self) -> str:
        """The place of the key, for people."""
        return "JOBPROC_FIRST_API_KEY" if self._env.get("JOBPROC_FIRST_API_KEY") else str(self._file)
