"""The errors of tasks that come from Celery.

JobprocError
└── NotMapped                    what Celery has and jobproc has not; the message has what to use instead
RetryAfter
└── Retry                        raised by `self.retry`: the attempt ends, and the next one begins after the delay
PermanentFailure
└── MaxRetriesExceededError      `self.retry` was called in the last attempt, without an exception of its own
SoftTimeLimitExceeded            raised in a task whose `soft_time_limit` is over
"""

from jobproc.errors import JobprocError, PermanentFailure, RetryAfter


class NotMapped(JobprocError):
    """Celery has this, and jobproc has not."""


class Retry(RetryAfter):
    """The task runs once more."""


class MaxRetriesExceededError(PermanentFailure):
    """The task has run as often as it may."""


class SoftTimeLimitExceeded(Exception):
    """The soft time limit of the task is over."""
