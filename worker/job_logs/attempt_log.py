"""The log of a running attempt: each line goes to the worker's log, and to the parent, which stores it with the job.

A context variable tells whose line it is. Tasks inherit it; `capture.py` carries it to threads.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

import orjson

from common.domain.job import ClaimedJob
from common.domain.storable_text import storable
from common.settings import Settings
from common.telemetry import logs
from common.telemetry.job_log_metrics import BUFFER, CAPTURE, RATE
from common.telemetry.log_limit import LogLimit
from worker.job_logs.line_ring import AttemptLines, LineRing
from worker.shared_memory.metrics import SlotMetrics

P = ParamSpec("P")
T = TypeVar("T")
OWN_LOGGER = "jobproc"  # of lines about dropped lines


class OperationLogs:
    """The logs of the attempts of one worker process."""

    def __init__(
        self,
        settings: Settings,
        ring: LineRing | None,
        metrics: SlotMetrics,
        stream_number: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ring` None: lines are not stored. `stream_number`: the file descriptor of the worker's log.

        `clock` is monotonic, in seconds.
        """
        self.clock = clock
        self.max_lines = settings.operation_log_lines_per_second
        self.max_characters = settings.max_log_line_characters
        self.ring = ring
        self._metrics: SlotMetrics | None = metrics
        self._stream_number = stream_number
        os.register_at_fork(after_in_child=self._detach)

    def _detach(self) -> None:
        """Leave the shared memory alone in a process that an operation has forked: only one process may write there."""
        self.ring = self._metrics = None

    def begin(self, job: ClaimedJob, queue: str) -> "AttemptLog":
        """Begin the log of an attempt: that of this thread's or task's lines until its end."""
        log = AttemptLog(self, job, queue)
        _current.set(log)
        return log

    def write(self, level: str, facts: dict[str, Any]) -> None:
        """Write a line to the worker's log, in one call: another thread, or a signal handler, may write meanwhile."""
        line = logs.rendered("operation_log", level, facts).encode("utf-8", "backslashreplace") + b"\n"
        with suppress(OSError):  # nobody reads the log any more
            while line:
                line = line[os.write(self._stream_number, line) :]

    def count_dropped(self, reason: str) -> None:
        """Count a line that was dropped."""
        if self._metrics is not None:
            self._metrics.count_log_line_dropped(reason)


class AttemptLog:
    """The log of one attempt. Every method may be called by any thread, and raises nothing."""

    # Slots, because an object is made for each job: most log nothing, so all that lines need is made by the first one.
    __slots__ = ("_job", "_lines", "_logs", "_queue")

    def __init__(self, operation_logs: OperationLogs, job: ClaimedJob, queue: str) -> None:
        self._logs = operation_logs
        self._job: ClaimedJob | None = job  # None: the attempt has ended
        self._queue = queue
        self._lines: _Lines | None = None

    @property
    def has_ended(self) -> bool:
        """True once the attempt has ended: a thread that outlives it logs as any other code."""
        return self._job is None

    def end(self) -> None:
        """End the log. The variable keeps it, as one that has ended, until the next attempt begins."""
        if self._lines is not None:
            self._lines.close()
        self._job = None

    def write(self, line: Callable[[], tuple[str, str, str, str | None]]) -> None:
        """Write a line, unless there are too many.

        `line` returns level, logger, text and traceback. It is not called for a line that is dropped.
        """
        try:
            if (lines := self._opened()) is not None and lines.accepts():
                lines.write(*line())
        except Exception:  # noqa: BLE001 - of an object's __str__, for example: no line may fail an operation
            self._logs.count_dropped(CAPTURE)

    def print(self, stream: str, text: str) -> None:
        """Write the lines of a text that was printed; the beginning of another line waits for its end."""
        if (lines := self._opened()) is not None:
            for line in lines.completed(stream, text):
                self.write(lambda line=line: ("info", stream, line, None))  # type: ignore[misc]  # a default argument

    def _opened(self) -> "_Lines | None":
        job = self._job
        if self._lines is None and job is not None:
            self._lines = _Lines(self._logs, job, self._queue)
        return self._lines


_current: ContextVar[AttemptLog | None] = ContextVar("jobproc_attempt_log", default=None)
#: True while a record that was captured is with the handlers of the package: what they print is no further line.
passed_on: ContextVar[bool] = ContextVar("jobproc_passed_on", default=False)


def current() -> AttemptLog | None:
    """Return the log of the attempt whose code runs here; None: this is no operation's code."""
    log = _current.get()
    return None if log is None or log.has_ended else log


def run_as(log: AttemptLog | None, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function as code of an attempt; None: as code of none."""
    token = _current.set(log)
    try:
        return function(*arguments, **named)
    finally:
        _current.reset(token)


def run_thread_as(log: AttemptLog, run: Callable[[], None]) -> None:
    """Run a thread as code of an attempt to its end, where an uncaught exception is printed."""
    _current.set(log)
    run()


class _Lines:
    """The lines of an attempt: made with the first one."""

    def __init__(self, operation_logs: OperationLogs, job: ClaimedJob, queue: str) -> None:
        self._logs = operation_logs
        self._numbering = AttemptLines(job.id, job.run, job.attempt)
        self._facts: dict[str, Any] = {
            "job_id": job.id,
            "attempt": job.attempt,
            "operation": job.operation,
            "queue": queue,
        }
        if job.trace is not None:
            self._facts["trace_id"] = job.trace_id
        self._limit = LogLimit(clock=operation_logs.clock, lines=operation_logs.max_lines)
        self._not_stored = 0
        self._begun: dict[tuple[str, int], str] = {}  # by stream and thread: a line that is printed in parts

    def accepts(self) -> bool:
        """Count a line. Return False if there are too many in this second: it is dropped."""
        if not (count := self._limit.due()):
            self._logs.count_dropped(RATE)
            return False
        self._report_dropped(count - 1)
        return True

    def write(self, level: str, logger: str, text: str, traceback: str | None = None) -> None:
        """Write a line."""
        most = self._logs.max_characters
        content = {"logger": logger, "message": _cut(text, most)}
        if traceback is not None:
            content["exception"] = _cut(traceback, most)
        self._logs.write(level, self._facts | content)
        if (ring := self._logs.ring) is None:
            return
        if self._not_stored:
            report = {"logger": OWN_LOGGER, "message": f"{self._not_stored} lines were not stored"}
            if self._store(ring, "warning", report):
                self._not_stored = 0
        if not self._store(ring, level, content):
            self._not_stored += 1
            self._logs.count_dropped(BUFFER)

    def _store(self, ring: LineRing, level: str, content: dict[str, str]) -> bool:
        at = datetime.now(UTC)
        return ring.write(self._numbering, orjson.dumps({"at": at, "level": level, **content}, option=orjson.OPT_UTC_Z))

    def completed(self, stream: str, text: str) -> list[str]:
        """Return the lines that a printed text completes, as they are seen."""
        key = stream, threading.get_ident()
        *lines, rest = (self._begun.pop(key, "") + text).split("\n")
        rest = rest[rest.rfind("\r", 0, -1) + 1 :]
        if len(rest) > self._logs.max_characters:
            lines, rest = [*lines, rest], ""
        if rest:
            self._begun[key] = rest
        return [seen for line in lines if (seen := _seen(line))]

    def close(self) -> None:
        """Write what is left: lines without an end, and the number of dropped lines."""
        for (stream, _), text in list(self._begun.items()):
            if self.accepts() and (seen := _seen(text)):
                self.write("info", stream, seen)
        self._begun.clear()
        self._report_dropped(self._limit.take_unlogged())

    def _report_dropped(self, count: int) -> None:
        if count:
            text = f"{count} lines were dropped: there were more than {self._logs.max_lines} in a second"
            self.write("warning", OWN_LOGGER, text)


def _seen(line: str) -> str:
    """Return what is seen of a printed line: its last part, if it has carriage returns."""
    return line.rstrip("\r").rpartition("\r")[2]


def _cut(text: str, most: int) -> str:
    """Return a text without characters that JSON and PostgreSQL cannot hold, and without its middle if it is long."""
    if len(text) > most:  # cut first: a line may have a hundred megabytes
        end = most // 2
        text = f"{text[: most - end - 1]}…{text[-end:]}" if end else text[:most]
    return storable(text)
