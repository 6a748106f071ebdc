"""The memory limit of this worker's container, and the processes that the kernel has killed for lack of memory.

Both are files of the control group (cgroup) that all processes of a container share. Version 2 has one folder for all
controllers, version 1 one for memory.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")
NO_LIMIT_BYTES = 1 << 60  # from here on version 1 means that there is no limit
MIB = 1 << 20
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    """The files of a control group."""

    kills: Path  #: has a line `oom_kill N`
    limit: Path  #: bytes, or `max`


def memory_files(groups: Path = CGROUPS, own_group: Path = OWN_GROUP) -> MemoryFiles | None:
    """Return the files of this process's control group; None: the system has none."""
    with suppress(OSError):
        paths = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in own_group.read_text().splitlines()}
        version_1 = "memory" in paths
        root = groups / "memory" if version_1 else groups
        names = ("memory.oom_control", "memory.limit_in_bytes") if version_1 else ("memory.events", "memory.max")
        # In a container its own group may be mounted in the place of the root.
        for folder in (root / paths.get("memory" if version_1 else "", "").lstrip("/"), root):
            if (folder / names[0]).exists():
                return MemoryFiles(folder / names[0], folder / names[1])
    return None


class MemoryLimit:
    """Tells if the kernel has lately killed a process of the container for lack of memory."""

    def __init__(self, files: MemoryFiles | None) -> None:
        self._files = files
        self._kills_before = self._kills_last = self._kills()

    def tick(self) -> None:
        """Read the count; what it was two calls ago no longer counts as lately."""
        self._kills_before, self._kills_last = self._kills_last, self._kills()

    @property
    def has_killed(self) -> bool:
        """True if the kernel has killed a process since the last call of `tick` but one."""
        return self._kills() > self._kills_before

    @property
    def described(self) -> str:
        """The limit for people, such as `the memory limit of 512 MiB`; without a limit, the memory of the machine."""
        with suppress(OSError, ValueError):
            if self._files and (limit_bytes := int(self._files.limit.read_text())) < NO_LIMIT_BYTES:
                return f"the memory limit of {limit_bytes / MIB:.0f} MiB"
        return "the memory of the machine"

    def _kills(self) -> int:
        with suppress(OSError):
            if self._files and (found := _KILLS.search(self._files.kills.read_text())):
                return int(found[1])
        return 0
