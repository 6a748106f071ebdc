"""What a running operation may ask and tell: its Context."""

import time
from typing import Protocol

from common.domain.errors import Cancelled
from common.domain.job import ClaimedJob
from worker.execution.attempt import printable

MAX_TEXT_CHARACTERS = 200  # of the text that goes with a progress report


class Reporter(Protocol):
    """Who knows whether an attempt is to stop, and stores how far it is: the Holder of a process, a Run of its event loop."""

    @property
    def asked_to_stop(self) -> bool:
        """Whether a client wants it to stop."""

    def report_progress(self, job_id: str, attempt: int, fraction: float | None, text: str | None) -> bool:
        """Store how far it is. Returns False once the job is another's."""


class JobContext:
    """The Context of one attempt. Reports are stored at most once in `every_s` seconds."""

    __slots__ = ("_is_owned", "_min_interval_s", "_next_report_s", "_reporter", "attempt", "job_id", "storing")  # one is made for each job

    def __init__(self, job: ClaimedJob, reporter: Reporter, min_interval_s: float) -> None:
        self.job_id = job.id
        self.attempt = job.attempt
        self._reporter = reporter
        self._min_interval_s = min_interval_s
        self._next_report_s = 0.0
        self._is_owned = True
        self.storing = False  #: the connection is in use: an alarm must wait

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop; see worker.operations.Context."""
        return self._reporter.asked_to_stop

    def check(self) -> None:
        """Raise Cancelled once the job was asked to stop."""
        if self.cancelled:
            raise Cancelled

    def progress(self, fraction: float | None, text: str | None = None) -> bool:
        """Tell how far the job is; see worker.operations.Context."""
        if not self._is_owned or self.cancelled:
            return False
        now = time.monotonic()
        if now < self._next_report_s:
            return True
        self._next_report_s = now + self._min_interval_s
        bounded = None if fraction is None else min(1.0, max(0.0, float(fraction)))
        shown = None if text is None else printable(str(text), MAX_TEXT_CHARACTERS)
        self.storing = True
        try:
            self._is_owned = self._reporter.report_progress(self.job_id, self.attempt, bounded, shown)
        finally:
            self.storing = False
        return self._is_owned
