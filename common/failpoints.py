"""Failpoints: named places at which a test can kill, stop or delay the process, or raise. Off unless set.

JOBPROC_FAILPOINTS="submit.after_commit=kill;settle.before_commit=sleep:2" sets two. An action followed by `@path` acts
only while that file exists, and removes it first: once per file. Settings refuse failpoints in production.
"""

import os
import re
import signal
import time
from pathlib import Path

NAMES = frozenset({
    "submit.after_commit",  # the jobs are stored, the client has no answer yet
    "ring.before_publish",  # a doorbell is about to be pushed
    "claim.after_commit",  # the jobs are claimed, no attempt has begun
    "attempt.before_operation",  # just before the operation is called
    "attempt.after_operation",  # the operation has returned, nothing is stored
    "settle.before_commit",  # just before the results are stored
    "settle.after_commit",  # the results are stored
    "settle.before_added_jobs",  # the result of a job that adds others is stored, they are not
    "rescue.between_lock_and_write",  # the controller has read the rows that it will change
    "batch_end.before_commit",  # the controller has ended a batch and stored its follow-up
    "feed_number.before_commit",  # the controller has numbered changes of a tenant
    "bulk_action.before_commit",  # a step of a bulk action has changed its jobs
    "migrate.mid",  # the first of several migrations has been applied
})  # fmt: skip

_ACTION = re.compile(r"kill|stop|raise|sleep:\d+(\.\d+)?")

_armed: dict[str, tuple[str, str]] = {}


def arm(text: str) -> None:
    """Set the failpoints from their text form; an empty text clears them. Raises ValueError for an unknown entry."""
    _armed.clear()
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, _, rest = entry.partition("=")
        action, _, once_path = rest.partition("@")
        if name not in NAMES or not _ACTION.fullmatch(action):
            raise ValueError(
                f"unknown failpoint {entry!r}; names: {', '.join(sorted(NAMES))}; "
                "actions: kill, stop, raise, sleep:SECONDS"
            )
        _armed[name] = (action, once_path)


def reach(name: str) -> None:
    """Do the action of the failpoint if it is set."""
    if _armed and name in _armed:
        _act(name, *_armed[name])


def _act(name: str, action: str, once_path: str) -> None:
    if once_path:
        try:
            Path(once_path).unlink()
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
