"""The Context of a running operation: progress reports and the request to stop."""

import time
from typing import Protocol

from common.domain.errors import Cancelled
from common.domain.job import ClaimedJob
from worker.execution.attempt import printable

MAX_TEXT_CHARACTERS = 200  # of the text that goes with a progress report


class Reporter(Protocol):
    """The attempt's link to its worker: the WorkerSession of the process, or the AsyncAttempt in the event loop."""

    @property
    def is_cancel_requested(self) -> bool:
        """True if a client has cancelled the job."""

    def report_progress(self, job_id: str, attempt: int, fraction: float | None, text: str | None) -> bool:
        """Store the progress. Returns False once the job is another worker's."""


class JobContext:
    """The Context of one attempt. Reports are stored at most once in `min_interval_s` seconds."""

    # Slots, because an object is made for each job.
    __slots__ = ("_is_owned", "_min_interval_s", "_next_report_s", "_reporter", "attempt", "job_id", "storing")

    def __init__(self, job: ClaimedJob, reporter: Reporter, min_interval_s: float) -> None:
        self.job_id = job.id
        self.attempt = job.attempt
        self._reporter = reporter
        self._min_interval_s = min_interval_s
        self._next_report_s = 0.0
        self._is_owned = True
        self.storing = False  #: True while the connection is in use: the alarm of a long batch must wait

    @property
    def cancelled(self) -> bool:
        """True if the job was cancelled; see worker.operations.Context."""
        return self._reporter.is_cancel_requested

    def check(self) -> None:
        """Raise Cancelled once the job was cancelled."""
        if self.cancelled:
            raise Cancelled

    def progress(self, fraction: float | None, text: str | None = None) -> bool:
        """Report progress; see worker.operations.Context."""
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
