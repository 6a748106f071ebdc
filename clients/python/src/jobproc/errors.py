"""Every error of the package. The class docstring is the default message.

JobprocError
├── DeclarationError    a function cannot be an operation; the message names it
├── InvalidInputError   the input of a job does not fit its operation
├── ResultNotJsonError  the operation returned a value that JSON cannot hold
├── HookError           a hook around an attempt does not yield once
├── SubmissionError     a further job was not submitted; the message has the reason
├── PermanentFailure    raised by an operation: do not retry
│   ├── ParentFailed    the operation reads the result of a parent that has none
│   └── ParentResultsTooLarge  the results of the parents are larger than the limit of the worker
├── RetryAfter          raised by an operation: retry after a delay in seconds
└── Cancelled           raised for an operation that was asked to stop
"""


class JobprocError(Exception):
    """Something went wrong in jobproc."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])


class DeclarationError(JobprocError):
    """A function cannot be an operation."""


class InvalidInputError(JobprocError):
    """The input of a job does not fit its operation."""


class ResultNotJsonError(JobprocError, TypeError):
    """The operation returned a value that JSON cannot hold."""


class HookError(JobprocError):
    """A hook around an attempt does not yield once."""


class SubmissionError(JobprocError):
    """A further job was not submitted."""


class PermanentFailure(JobprocError):
    """The operation failed and a retry cannot help."""


class ParentFailed(PermanentFailure):
    """A parent of the job has no result."""


class ParentResultsTooLarge(PermanentFailure):
    """The results of the parents of the job are larger than the limit."""


class RetryAfter(JobprocError):
    """The operation failed and asks for a retry after a delay; the attempt is charged."""

    def __init__(self, seconds: float, message: str | None = None) -> None:
        """Set the delay: 0 to 86,400 seconds; a longer one is shortened to that."""
        super().__init__(message)
        self.seconds = max(0.0, float(seconds))


class Cancelled(JobprocError):
    """The job was asked to stop."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message: those of Pydantic explain at length."""
    return str(error).partition("\n")[0]
