"""Places where a test can make the process die, stop, raise or wait. Off unless JOBPROC_FAILPOINTS names them.

JOBPROC_FAILPOINTS="submit.after_commit=kill;settle.before_commit=sleep:2" sets two. An action followed by `@path` acts only
while that file exists, and removes it first: once per file. Settings refuse failpoints in production.
"""

import os
import re
import signal
import time
from pathlib import Path

NAMES = frozenset({
    "submit.after_commit",  # the jobs are stored, the client has no answer yet
    "ring.before_publish",  # a doorbell is about to be pushed
    "claim.after_commit",  # the jobs are ours, nothing has run
    "run.before_effect",  # just before the operation is called
    "run.after_effect",  # the operation has returned, nothing is stored
    "settle.before_commit",  # just before the results are stored
    "settle.after_commit",  # the results are stored
    "sweep.between_select_and_update",  # the controller has read what it will change
    "action.before_commit",  # a turn of an action has changed its jobs
    "migrate.mid",  # the first migration of a run has been applied
})  # fmt: skip

_ACTION = re.compile(r"kill|stop|raise|sleep:\d+(\.\d+)?")

_armed: dict[str, tuple[str, str]] = {}


def arm(text: str) -> None:
    """Set the failpoints from their text form; an empty text sets none. Raises ValueError for an unknown name or action."""
    _armed.clear()
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, _, rest = entry.partition("=")
        action, _, once = rest.partition("@")
        if name not in NAMES or not _ACTION.fullmatch(action):
            raise ValueError(f"unknown failpoint {entry!r}; names: {', '.join(sorted(NAMES))}; actions: kill, stop, raise, sleep:SECONDS")
        _armed[name] = (action, once)


def reach(name: str) -> None:
    """Act if the failpoint is set."""
    if _armed and name in _armed:
        _act(name, *_armed[name])


def _act(name: str, action: str, once: str) -> None:
    if once:
        try:
            Path(once).unlink()
        except FileNotFoundError:
            return
    verb, _, argument = action.partition(":")
    if verb == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif verb == "sleep":
        time.sleep(float(argument))
    else:
        raise RuntimeError(f"failpoint {name}")
