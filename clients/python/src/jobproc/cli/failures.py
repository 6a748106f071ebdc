"""Failures of commands: the sentence and the exit code of each."""

from jobproc.cli.exit_codes import ExitCode
from jobproc.client import errors
from jobproc.errors import JobprocError

CODES: tuple[tuple[type[JobprocError], ExitCode], ...] = (
    (errors.ConfigurationError, ExitCode.USAGE),
    (errors.ConnectionFailed, ExitCode.UNAVAILABLE),
    (errors.AuthenticationFailed, ExitCode.NO_PERMISSION),
    (errors.JobFailed, ExitCode.JOB_FAILED),
    (errors.JobCancelled, ExitCode.JOB_CANCELLED),
    (errors.WaitTimeout, ExitCode.TIMEOUT),
    (errors.Unauthorized, ExitCode.NO_PERMISSION),
    (errors.Forbidden, ExitCode.NO_PERMISSION),
    (errors.Missing, ExitCode.NOT_FOUND),
    (errors.Unavailable, ExitCode.UNAVAILABLE),
    (errors.ApiError, ExitCode.REFUSED),
)
HINTS = {
    ExitCode.NO_PERMISSION: "`jobproc login` stores an API key; a key needs the scope that the message names",
    ExitCode.UNAVAILABLE: "`jobproc doctor` says more",
}


class NotFound(JobprocError):
    """Nothing has the given id."""


def code_of(error: JobprocError) -> ExitCode:
    """Return the exit code of an error."""
    if isinstance(error, NotFound):
        return ExitCode.NOT_FOUND
    return next((code for kind, code in CODES if isinstance(error, kind)), ExitCode.FAILED)


def sentence_of(error: JobprocError) -> str:
    """Return an error as a sentence: the field and the reason, and the request id, which the API's log has too."""
    hint = HINTS.get(code_of(error))
    return f"{_reason(error)}\n{hint}" if hint else _reason(error)


def _reason(error: JobprocError) -> str:
    if not isinstance(error, errors.ApiError):
        return str(error)
    reasons = [f"{field}: {reason}" for field, reason in error.fields] or [error.detail or error.title]
    text = "; ".join(reason for reason in reasons if reason) or f"the response is {error.status}"
    name = f"{error.status} {error.problem}".rstrip()
    request = f", request {error.request_id}" if error.request_id else ""
    return f"{text} ({name}{request})"
