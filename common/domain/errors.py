"""Every error that jobproc raises, as a tree of types with data. The class docstring is the default message.

JobprocError
├── InvalidSubmission      the body of a submission breaks a rule; names the field
│   └── UnknownOperation   no operation has that name
├── JobNotFound            no job has that id
├── BulkActionNotFound     no bulk action has that id
├── BatchNotFound          no batch has that id
├── BatchClosed            no job can be added to the batch
├── BatchFull              the batch has as many jobs as one can have; names the limit
├── WorkflowNotFound       no workflow has that id
├── WorkflowRunning        a job of the workflow has not ended, so its failed part cannot be retried
├── KeyNotFound            no API key of the tenant has that id
├── TooManyKeys            the limit of API keys of a tenant is reached; names it
├── TenantNotFound         no tenant has that name
├── TenantExists           a tenant has that name
├── TenantIsRemoved        the tenant is being removed, which is final
├── DefaultTenant          the default tenant can be neither suspended nor removed
├── TooManyTenants         the limit of tenants is reached; names it
├── ScheduleNotFound       no schedule of the tenant has that id
├── ScheduleExists         a schedule of the tenant has that name
├── ScheduleManaged        a file declares the schedule, so that requests cannot change it
├── ScheduleChanged        the schedule is not as the request expects it
├── TooManySchedules       the limit of schedules of a tenant is reached; names it
├── QueueNotFound          no operation, no worker and no policy names that queue
├── QueueChanged           the policy of the queue is not as the request expects it
├── QueueManaged           a file declares the limits of the queue, so that requests cannot change them
├── ChangeUnconfirmed      a queue is changed, but a claim that began before may not be committed yet
├── …                      of webhooks: webhooks/errors.py
├── FeedNotSwitched        the queue could not be followed, or left, within the limit; nothing was changed
├── TooManyFollowedQueues  the limit of followed queues is reached
├── FeedExpired            the feed has no changes behind the wanted number; names those that it has
├── WrongPhase             a bulk action cannot be started, stopped or undone in its phase; names it
├── CountNotConfirmed      the start of a bulk action lacks the count of its preview, or has another one; names it
├── TooManyPreviews        the limit of bulk actions that wait for their start is reached; says for how long
├── NotRetryable           a job that has not failed cannot be retried; names its state
├── InputRemoved           the job's input has been removed; a retry must bring one
├── KeyReused              the idempotency key was used with another body before
├── UniqueConflict         another job holds the unique key; names it
├── StoreUnavailable       PostgreSQL did not answer in time; nothing was stored
│   └── OutcomeUnknown     PostgreSQL did not answer in time, and may have stored the request
├── Overloaded             the buffer of submissions is full
├── TooManyReads           the limit of expensive reads that wait for a connection is reached
├── ReadTimeout            an expensive read took longer than its limit
├── TooManyWaitingClients  the limit of waiting clients is reached
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

    def __init__(self, field: str, reason: str = "unknown operation") -> None:
        super().__init__(field, reason)


class JobNotFound(JobprocError):
    """No job has this id."""


class BulkActionNotFound(JobprocError):
    """No action has this id."""


class BatchNotFound(JobprocError):
    """No batch has this id."""


class BatchClosed(JobprocError):
    """The batch is closed: no job can be added to it."""


class BatchFull(JobprocError):
    """The batch would have too many jobs."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"A batch has at most {limit} jobs; nothing was stored.")


class WorkflowNotFound(JobprocError):
    """No workflow has this id."""


class WorkflowRunning(JobprocError):
    """A job of the workflow has not ended, or its cancel is not done; retry it when all have."""


class KeyNotFound(JobprocError):
    """No API key of the tenant has this id, or it is revoked."""


class TenantNotFound(JobprocError):
    """No tenant has this name."""


class TenantExists(JobprocError):
    """A tenant has this name; one that is being removed has it until its end."""


class TenantIsRemoved(JobprocError):
    """The tenant is being removed, which is final."""


class DefaultTenant(JobprocError):
    """The default tenant has the keys of the operators, so it can be neither suspended nor removed."""


class TooManyTenants(JobprocError):
    """There are too many tenants."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"There are {limit} tenants; remove one that is not needed.")


class TooManyKeys(JobprocError):
    """The tenant has too many API keys."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The tenant has {limit} valid API keys; revoke one that is not needed.")


class ScheduleNotFound(JobprocError):
    """No schedule of the tenant has this id."""


class ScheduleExists(JobprocError):
    """A schedule of the tenant has this name."""


class ScheduleManaged(JobprocError):
    """A file declares the schedule; change it there."""


class ScheduleChanged(JobprocError):
    """The schedule has changed since the response whose ETag is in If-Match."""


class TooManySchedules(JobprocError):
    """The tenant has too many schedules."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The tenant may have {limit} schedules; delete one that is not needed.")


class QueueNotFound(JobprocError):
    """No operation and no worker has this queue."""


class QueueChanged(JobprocError):
    """The policy of the queue has changed since the response whose ETag is in If-Match."""


class QueueManaged(JobprocError):
    """A file declares the limits of the queue; change it there."""


class ChangeUnconfirmed(JobprocError):
    """A queue is changed, but transactions that began before still run: jobs may start as if it were not."""


class FeedNotSwitched(JobprocError):
    """Transactions that write jobs have kept the switch from its lock. Nothing was changed; repeat the request."""


class TooManyFollowedQueues(JobprocError):
    """Too many queues are followed."""


class FeedExpired(JobprocError):
    """The feed does not have the changes behind the wanted number."""

    def __init__(self, oldest: int, newest: int) -> None:
        """`oldest`, `newest`: the numbers behind which it has changes."""
        super().__init__()
        self.oldest = oldest
        self.newest = newest


class WrongPhase(JobprocError):
    """The phase of the action does not allow the request."""

    def __init__(self, phase: str, verb: str, possible: list[str]) -> None:
        super().__init__(f"The action is {phase}; {verb} is possible while it is {', '.join(possible)}.")
        self.phase = phase


class CountNotConfirmed(JobprocError):
    """The request to start the action does not confirm the count of its preview."""

    def __init__(self, count: int, reason: str) -> None:
        super().__init__(f'{reason} To start it, send the count of its preview: {{"count": {count}}}.')
        self.count = count


class TooManyPreviews(JobprocError):
    """Too many bulk actions wait for their start."""

    def __init__(self, limit: int, retry_after_s: int) -> None:
        super().__init__(f"{limit} bulk actions wait for their start; a new one may take a place in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class NotRetryable(JobprocError):
    """Only a job that is FAILED or CANCELLED can be retried."""

    def __init__(self, state: str) -> None:
        super().__init__(f"The job is {state}; only one that is FAILED or CANCELLED can be retried.")
        self.state = state


class InputRemoved(JobprocError):
    """The input of the job has been removed; a retry must bring one."""


class KeyReused(JobprocError):
    """This idempotency key was used with another body before."""


class UniqueConflict(JobprocError):
    """A job holds the unique key."""

    def __init__(self, holder: UUID) -> None:
        super().__init__()
        self.holder = holder


class StoreUnavailable(JobprocError):
    """The database did not answer in time; nothing was stored."""


class OutcomeUnknown(StoreUnavailable):
    """The database did not answer in time; read the job or the action to see if the request was stored."""


class Overloaded(JobprocError):
    """Too many submissions are waiting to be stored."""


class TooManyReads(JobprocError):
    """Too many expensive reads are waiting for a database connection."""


class ReadTimeout(JobprocError):
    """A read took too long."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(
            f"A statement of the read was ended after {limit_s:g} s. Narrow the filter, for example to a tag or to a "
            "shorter range of creation times; or retry later."
        )


class TooManyWaitingClients(JobprocError):
    """Too many clients are waiting for jobs."""


class StartupError(JobprocError):
    """The process cannot start."""
