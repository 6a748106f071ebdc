"""The errors of clients. Those of the API are in `problems`, generated from the types of its problems.

ClientError
├── ConfigurationError     the configuration cannot work; the message names the field
├── ConnectionFailed       no response, after all tries
├── AuthenticationFailed   the OpenID provider gave no token
├── UnexpectedResponse     the response is not as the API documents it
├── NotSent                a job of a batch has no id yet
├── JobFailed, JobCancelled  a job has no result
├── WaitTimeout            the time of a wait is up; also a TimeoutError
└── ApiError               the API refused the request; by status:
    ├── InvalidRequest     400 and others of this class
    ├── Unauthorized       401
    ├── Forbidden          403
    ├── Missing            404, 410
    ├── Conflict           409, 412
    ├── Throttled          429
    └── Unavailable        5xx
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jobproc.errors import JobprocError

PREFIX = "urn:jobproc:problem:"


class ClientError(JobprocError):
    """A call of a client failed."""


class ConfigurationError(ClientError):
    """The configuration of the client cannot work."""


class ConnectionFailed(ClientError, ConnectionError):
    """The API gave no response."""


class AuthenticationFailed(ClientError):
    """The OpenID provider gave no token."""


class UnexpectedResponse(ClientError):
    """The response is not as the API documents it."""


class NotSent(ClientError):
    """The job has no id before its batch is sent."""


class JobFailed(ClientError):
    """A job ended FAILED."""

    def __init__(self, job_id: str, type: str, text: str, attempt: int | None = None) -> None:  # noqa: A002 - as the API calls it
        super().__init__(f"job {job_id}: {type}: {text}")
        self.job_id, self.type, self.text, self.attempt = job_id, type, text, attempt


class JobCancelled(ClientError):
    """A job ended CANCELLED."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was cancelled")
        self.job_id = job_id


class WaitTimeout(ClientError, TimeoutError):
    """The time of a wait is up; what it waited for goes on."""

    def __init__(self, waited_for: str, timeout_s: float) -> None:
        super().__init__(f"{waited_for} has not ended within {timeout_s:g} s; it goes on")
        self.waited_for, self.timeout_s = waited_for, timeout_s


class FieldError(NamedTuple):
    """A field of a request, and why it was refused."""

    field: str
    reason: str


class ApiError(ClientError):
    """The API refused a request."""

    def __init__(self, status: int, headers: Mapping[str, str], problem: Mapping[str, Any]) -> None:
        """`headers`: with names in lower case. `problem`: the body."""
        self.status = status
        self.problem = str(problem.get("type", "")).removeprefix(PREFIX)  #: the type, such as `job-not-found`
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", ""))
        self.fields = tuple(FieldError(str(e["field"]), str(e["reason"])) for e in problem.get("errors") or ())
        self.request_id = headers.get("x-request-id", "")  #: is also in the log of the API
        self.retry_after_s = retry_after(headers)
        self.body = dict(problem)  #: with further members, such as `job_id` of a unique-conflict
        reason = "; ".join(f"{field}: {reason}" for field, reason in self.fields) or self.detail
        where = f" (request {self.request_id})" if self.request_id else ""
        super().__init__(f"{self.status} {self.problem or self.title}: {reason}{where}")


class InvalidRequest(ApiError):
    """The API did not accept the request as it is."""


class Unauthorized(ApiError):
    """The request needs valid credentials."""


class Forbidden(ApiError):
    """The caller may not do this."""


class Missing(ApiError):
    """The API does not have, or no longer has, what the request names."""


class Conflict(ApiError):
    """The state of the resource does not allow the request."""


class Throttled(ApiError):
    """A limit of the rate or of a quota is reached."""


class Unavailable(ApiError):
    """The API could not serve the request."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of Retry-After; None: it is missing, or a date."""
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None
