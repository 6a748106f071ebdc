"""The outcomes of an attempt in a test, with all that the operation has reported, logged and submitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobproc.errors import JobprocError


class NoResultError(JobprocError):
    """The attempt has no result."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A progress report, as a worker would store it."""

    fraction: float | None  #: from 0 to 1
    text: str | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A record that was logged during the attempt."""

    level: str  #: such as INFO
    logger: str
    message: str


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A further job that the operation has submitted."""

    job_id: str
    operation: str
    input: Any  #: as JSON
    options: Mapping[str, Any]  #: of the submission, as JSON, with `idempotency_key`


@dataclass(frozen=True, slots=True)
class SubmittedWorkflow:
    """A workflow that the operation has submitted."""

    workflow_id: str
    jobs: Sequence[Mapping[str, Any]]  #: as JSON
    options: Mapping[str, Any]  #: as JSON, with `idempotency_key`


@dataclass(frozen=True, slots=True)
class AddedJob:
    """A job that the operation has added to its workflow."""

    name: str
    operation: str
    input: Any  #: as JSON
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    """Everything that an attempt has done beside its result."""

    progress: tuple[Progress, ...] = ()
    logs: tuple[LogLine, ...] = ()
    submitted: tuple[SubmittedJob, ...] = ()
    workflows: tuple[SubmittedWorkflow, ...] = ()
    added: tuple[AddedJob, ...] = ()  #: to the workflow, as far as the attempt has a result


@dataclass(frozen=True)
class Succeeded(_Recorded):
    """The job ends SUCCESS."""

    result: Any  #: through JSON and back, by the annotation of the operation
    json: str = field(default="null", kw_only=True)  #: the result as clients get it


@dataclass(frozen=True, kw_only=True)
class _Failure(_Recorded):
    """An attempt without a result."""

    error_type: str  #: as clients see it: the class of the exception, or a code such as `timeout`
    error_text: str
    error: BaseException | None = field(default=None, repr=False, compare=False)  #: None: there was no exception
    traceback: str | None = field(default=None, repr=False, compare=False)  #: begins with the frames of the operation

    @property
    def result(self) -> Any:
        """Raises NoResultError, from the exception of the operation if there is one."""
        raise NoResultError(f"{type(self).__name__}: {self.error_type}: {self.error_text}") from self.error


@dataclass(frozen=True)
class Retries(_Failure):
    """The attempt failed, and the job runs again."""

    after_seconds: float  #: until the next attempt


@dataclass(frozen=True)
class Failed(_Failure):
    """The job ends FAILED."""

    permanent: bool  #: True: a retry would not help; False: it was the last attempt


@dataclass(frozen=True)
class Cancelled(_Failure):
    """The job ends CANCELLED."""


Outcome = Succeeded | Retries | Failed | Cancelled
