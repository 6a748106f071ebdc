"""The health check of a worker: its parent writes a file, `python -m worker.health` reads it.

Both import nothing of third parties, so that a probe starts at once.

A worker is stalled when due work waits in its queues, one of its processes is idle, and none has claimed for a while,
although the parent asks idle processes to poll when no doorbell rings (`worker/supervision/idle_poll.py`). PostgreSQL
tells if work is due. While it is unavailable the worker counts as healthy, because a restart would not help.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common.command_line import Variable, command_line

FILE_VARIABLE = "JOBPROC_HEALTH_FILE"
STALE_S = 60.0  # a parent that has not written for this long hangs
WRITE_INTERVAL_S = 1.0  # between two writes
OK = "ok"


class Health:
    """The health of a worker, as its parent knows it."""

    def __init__(self, file: str, stalled_s: float, queues: Sequence[str]) -> None:
        """`file` empty: nothing is written.

        `stalled_s`: seconds without a claim, while work is due, until it is stalled.
        """
        self._file = Path(file) if file else None
        self._stalled_s = stalled_s
        self._queues = frozenset(queues)
        self._written_at = 0.0
        self._checked_at = 0.0
        self._stalled_since: float | None = None

    def is_stalled(self, now: float, last_claim: float, due: Callable[[], Sequence[str]]) -> bool:
        """Return True if due work has waited unclaimed for too long.

        `last_claim`: time of the last claim of any process. `due` returns the queues with due work; it costs a query,
        so it is called at most once a second, and only after half of the time has passed.
        """
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
        """Write the health file, at most once a second. Atomic: a probe never reads half of it."""
        if self._file is None or now - self._written_at < WRITE_INTERVAL_S:
            return
        self._written_at = now
        live = "stalled: work is due and no process has claimed" if stalled else OK
        new_file = self._file.with_suffix(".new")
        new_file.parent.mkdir(parents=True, exist_ok=True)
        new_file.write_text(f"{live}\n{OK if ready else 'no process has registered yet'}\n")
        new_file.replace(self._file)


def probe(file: Path, now: float, *, ready: bool) -> str | None:
    """Return the reason why the worker is unhealthy, or not ready where `ready` is asked; None if it is well.

    `now`: Unix time, as the modification time of the file.
    """
    try:
        age_s = now - file.stat().st_mtime
        live, registered = file.read_text().splitlines()[:2]
    except (OSError, ValueError):
        return f"{file}: the worker has written nothing yet"
    if age_s > STALE_S:
        return f"{file}: the worker has not written for {age_s:.0f} s"
    reason = registered if ready and live == OK else live
    return None if reason == OK else reason


def main() -> None:
    """Exit with 0 if the worker is healthy, else with 1 and the reason."""
    parser = command_line(
        "worker.health",
        "Exits with 0 if the worker of this machine is healthy, else with 1 and the reason.",
        [Variable(FILE_VARIABLE, "", "File to which the worker writes its health.")],
    )
    parser.add_argument("--ready", action="store_true", help="ask if the worker is ready: a process has registered")
    arguments = parser.parse_args()
    file = os.environ.get(FILE_VARIABLE)
    if not file:
        sys.exit(f"health: {FILE_VARIABLE} is not set")
    if reason := probe(Path(file), time.time(), ready=arguments.ready):
        sys.exit(f"health: {reason}")


if __name__ == "__main__":
    main()
