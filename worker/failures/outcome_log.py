"""The lines of the log about attempts that have ended: failed ones, at a limited rate, and finished jobs on request."""

from common.domain.decisions import AttemptOutcome, Decision, Fail, Failure, Release, Retry
from common.domain.job import ClaimedJob
from common.domain.states import State
from common.settings import Settings
from common.telemetry import logs
from common.telemetry.log_limit import LogLimit

log = logs.get("worker")


class OutcomeLog:
    """Logs the ends of attempts for one thread. Beyond a limit a second it counts failures, and logs their number."""

    def __init__(self, settings: Settings) -> None:
        self.has_summaries = settings.job_log_summary  #: True: each finished job gets a line
        lines = settings.failure_log_lines_per_second
        self._retries, self._failed_jobs = LogLimit(lines=lines), LogLimit(lines=lines)

    def job_finished(self, job: ClaimedJob, queue: str, status: State, execution_s: float | None) -> None:
        """Log a finished job if summaries are asked for. `execution_s`: of its last attempt; None: not measured."""
        if self.has_summaries:
            log.info(
                "job_finished",
                job_id=job.id,
                operation=job.operation,
                queue=queue,
                status=status,
                attempt=job.attempt,
                execution_s=None if execution_s is None else round(execution_s, 6),
                waited_s=round(job.waited_s, 6),
                **_trace(job),
            )

    def attempt_failed(self, job: ClaimedJob, queue: str, decision: Decision, *, is_cancelled: bool = False) -> None:
        """Log an attempt without a result, unless it was released, and what was decided about its job.

        `is_cancelled`: its client has cancelled the job, which ends it whatever the decision.
        """
        failure = decision.failure
        if failure.outcome is AttemptOutcome.RELEASED:
            return
        if is_cancelled or failure.outcome is AttemptOutcome.CANCELLED:
            self.job_finished(job, queue, State.CANCELLED, failure.usage.execution_s)
        elif isinstance(decision, Fail):
            self._job_failed(job, queue, failure)
            self.job_finished(job, queue, State.FAILED, failure.usage.execution_s)
        else:
            self._attempt_failed(job, queue, decision)

    def _attempt_failed(self, job: ClaimedJob, queue: str, decision: Retry | Release) -> None:
        if not self._is_due(self._retries):
            return
        is_charged = isinstance(decision, Retry)
        log.warning(
            "attempt_failed",
            job_id=job.id,
            operation=job.operation,
            queue=queue,
            attempt=job.attempt,
            attempts_left=job.max_attempts - job.charged + (not is_charged),
            retry_in_s=round(decision.delay_s, 3) if isinstance(decision, Retry) else 0.0,
            error=decision.failure.error_type,
            reason=decision.failure.error_text,
            **_trace(job),
        )

    def _job_failed(self, job: ClaimedJob, queue: str, failure: Failure) -> None:
        if not self._is_due(self._failed_jobs):
            return
        log.error(
            "job_failed",
            job_id=job.id,
            operation=job.operation,
            queue=queue,
            attempt=job.attempt,
            error=failure.error_type,
            reason=failure.error_text,
            exception=failure.traceback,
            **_trace(job),
        )

    def _is_due(self, limit: LogLimit) -> bool:
        count = limit.due()
        if count > 1:
            log.warning("failures_not_logged", count=count - 1)
        return count > 0

    def say_unlogged(self) -> None:
        """Log how many failures got no line, once a line may be logged again. To be called now and then."""
        if count := self._retries.overdue() + self._failed_jobs.overdue():
            log.warning("failures_not_logged", count=count)


def _trace(job: ClaimedJob) -> dict[str, str]:
    return {} if (trace_id := job.trace_id) is None else {"trace_id": trace_id}
