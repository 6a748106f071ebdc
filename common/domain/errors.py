"""What can go wrong, as types with data. The class docstring is the default message.

JobprocError
├── InvalidSubmission      the body of a submission breaks a rule; names the field
│   └── UnknownOperation   no operation of that name
├── JobNotFound            no job of that id
├── ActionNotFound         no action of that id
├── WrongPhase             an action cannot be started, stopped or undone in its phase; names it
├── NotRetryable           a job that has not failed cannot be retried; names its state
├── InputRemoved           the job's input has been removed; a retry has to bring one
├── KeyReused              the idempotency key came with another body before
├── UniqueConflict         a job holds the unique key; names it
├── StoreUnavailable       PostgreSQL did not answer in time
│   └── OutcomeUnknown     and it may have done what it was asked
├── Overloaded             more submissions wait than the limit allows
├── TooManyWaitingClients  more clients wait for jobs than the limit allows
├── PermanentFailure       raised by an operation: do not try again
├── RetryAfter             raised by an operation: try again after so many seconds
├── Cancelled              raised for an operation that was asked to stop
└── StartupError           the process cannot start; the message is the one sentence to print
"""

from uuid import UUID


class JobprocError(Exception):
    """Something went wrong in jobproc."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])


class InvalidSubmission(JobprocError):
    """The submission breaks a rule."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class UnknownOperation(InvalidSubmission):
    """No operation of that name exists."""

    def __init__(self, field: str, known: list[str]) -> None:
        super().__init__(field, f"unknown operation; known ones: {', '.join(known)}")
        self.known = known


class JobNotFound(JobprocError):
    """No job has this id."""


class ActionNotFound(JobprocError):
    """No action has this id."""


class WrongPhase(JobprocError):
    """The action is in a phase in which this cannot be asked of it."""

    def __init__(self, phase: str, verb: str, possible: list[str]) -> None:
        super().__init__(f"The action is {phase}; {verb} is possible while it is {', '.join(possible)}.")
        self.phase = phase


class NotRetryable(JobprocError):
    """Only a job that is FAILED or CANCELLED can be retried."""

    def __init__(self, state: str) -> None:
        super().__init__(f"The job is {state}; only one that is FAILED or CANCELLED can be retried.")
        self.state = state


class InputRemoved(JobprocError):
    """The input of the job has been removed; a retry has to bring one."""


class KeyReused(JobprocError):
    """This idempotency key came with another body before."""


class UniqueConflict(JobprocError):
    """A job holds the unique key."""

    def __init__(self, holder: UUID) -> None:
        super().__init__()
        self.holder = holder


class StoreUnavailable(JobprocError):
    """The database did not answer in time; nothing was stored."""


class OutcomeUnknown(StoreUnavailable):
    """The database did not answer in time; whether it was done, the job or the action tells once the database is back."""


class Overloaded(JobprocError):
    """Too many submissions are waiting to be stored."""


class TooManyWaitingClients(JobprocError):
    """Too many clients are waiting for jobs."""


class PermanentFailure(JobprocError):
    """The operation failed in a way that trying again cannot mend."""


class RetryAfter(JobprocError):
    """The operation failed and knows when to try again; the attempt is charged."""

    def __init__(self, seconds: float, message: str | None = None) -> None:
        """`seconds`: 0 to 86,400; more is cut."""
        super().__init__(message)
        self.seconds = max(0.0, float(seconds))


class Cancelled(JobprocError):
    """The job was asked to stop."""


class StartupError(JobprocError):
    """The process cannot start."""
