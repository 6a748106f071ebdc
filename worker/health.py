"""Whether a worker lives: written by its parent to a file, read by `python -m worker.health` (a probe: standard library only).

A worker is deaf when due work of its queues waits, one of its processes is idle, and none has looked for a while, although they
are sent to look when nobody rings (`worker/supervision/idle_poll.py`). The fact that work is due comes from PostgreSQL; when that cannot be
asked the worker counts as healthy, for a restart would not help.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

FILE_VARIABLE = "JOBPROC_HEALTH_FILE"
STALE_S = 60.0  # a parent that has not written for so long hangs
WRITE_INTERVAL_S = 1.0  # between two writes
OK = "ok"


class Health:
    """What the parent knows of its own health."""

    def __init__(self, file: str, stalled_s: float, queues: Sequence[str]) -> None:
        """`file` empty: nothing is written. `deaf_s`: seconds without a look, with work due, after which it is deaf."""
        self._file = Path(file) if file else None
        self._stalled_s = stalled_s
        self._queues = frozenset(queues)
        self._written_at = 0.0
        self._checked_at = 0.0
        self._stalled_since: float | None = None

    def is_stalled(self, now: float, last_claim: float, due: Callable[[], Sequence[str]]) -> bool:
        """Return whether due work has waited unseen for too long; `looked`: when a process last looked. Asks `due` seldom."""
        if now - last_claim < self._stalled_s / 2:
            self._stalled_since = None
            return False
        if now - self._checked_at < WRITE_INTERVAL_S:
            return self._stalled_since is not None and now - self._stalled_since >= self._stalled_s / 2
        self._checked_at = now
        if not self._queues.intersection(due()):
            self._stalled_since = None
            return False
        if self._stalled_since is None:
            self._stalled_since = now
        return now - self._stalled_since >= self._stalled_s / 2

    def write(self, now: float, *, stalled: bool, ready: bool) -> None:
        """Say how it is, at most once a second. Atomic: a probe never reads half of it."""
        if self._file is None or now - self._written_at < WRITE_INTERVAL_S:
            return
        self._written_at = now
        live = "deaf: work is due and no process has looked for it" if stalled else OK
        fresh = self._file.with_suffix(".new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(f"{live}\n{OK if ready else 'no process has registered yet'}\n")
        fresh.replace(self._file)


def probe(file: Path, now: float, *, ready: bool) -> str | None:
    """Return what is wrong, None when nothing is."""
    try:
        age = now - file.stat().st_mtime
        live, registered = file.read_text().splitlines()[:2]
    except (OSError, ValueError):
        return f"{file}: the worker has written nothing yet"
    if age > STALE_S:
        return f"{file}: the worker has not written for {age:.0f} s"
    wrong = registered if ready and live == OK else live
    return None if wrong == OK else wrong


def main() -> None:
    """Exit 0 when all is well, else 1 with what is wrong."""
    file = os.environ.get(FILE_VARIABLE)
    if not file:
        sys.exit(f"health: {FILE_VARIABLE} is not set")
    if wrong := probe(Path(file), time.time(), ready="--ready" in sys.argv[1:]):
        sys.exit(f"health: {wrong}")


if __name__ == "__main__":
    main()
