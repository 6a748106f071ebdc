"""Jobs: handles of one, and the verbs of clients about any."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, Self, TypeVar, cast

from jobproc.client.calls import jobs, reads
from jobproc.client.connection.drivers import AsyncDriver, Driver
from jobproc.client.connection.request import get, segment
from jobproc.client.connection.session import Session
from jobproc.client.connection.steps import Steps
from jobproc.client.connection.verbs import D, Resource, Thing, items, own_items, own_verb, verb
from jobproc.client.errors import NotSent
from jobproc.client.views.explanations import LogLineView
from jobproc.client.views.jobs import JobSummaryView, ProgressView
from jobproc.client.views.shared import State
from jobproc.client.views.view import View, nothing

R = TypeVar("R")


class JobEvent(View):
    """A new state of a job, or a report of its progress."""

    name: str  #: `status` or `progress`
    status: State
    attempt: int
    progress: ProgressView | None


def read_event(name: str, data: str) -> tuple[JobEvent, bool]:
    """Return an event of a job, and True if it is the last one."""
    event = JobEvent({"progress": None, **json.loads(data, object_hook=View), "name": name})
    return event, event.status in jobs.TERMINAL


def events(session: Session, job_id: str) -> Steps[None]:
    """Follow a job until it has ended."""
    return session.events(get(f"/jobs/{segment(job_id)}/events", nothing), read_event)


class JobHandle(Thing[D], Generic[D, R]):
    """The verbs of one job."""

    details = own_verb(jobs.job)
    state = own_verb(jobs.status)
    input = own_verb(jobs.job_input)
    cancel = own_verb(jobs.cancel)
    retry = own_verb(jobs.retry)
    why = own_verb(jobs.why)
    logs = own_items(jobs.logs, LogLineView)

    def __init__(
        self,
        session: Session,
        driver: D,
        job_id: str,
        load: Callable[[Any], R] | None = None,
        first: View | None = None,
    ) -> None:
        """`load`: turns the JSON of the result into its value. `first`: the response of the submission."""
        super().__init__(session, driver, job_id)
        self._load = load
        is_known = first is not None and first.status in jobs.TERMINAL and "result" in first
        self._first = first if is_known and first is not None and not first.get("result_omitted") else None

    @property
    def id(self) -> str:
        """The id. Raises NotSent if the job is of a batch that is not sent yet."""
        if not self._id:
            raise NotSent("the batch has not sent this job yet; it does so at the end of its block, or by flush()")
        return self._id

    def sent(self, job_id: str) -> None:
        """Take note of the id."""
        self._id = job_id

    def known(self, view: View) -> Self:
        """Take note of the outcome, so that `result` asks no more."""
        self._first = None if view.get("result_omitted") else view
        return self

    def loaded(self, value: Any) -> R:
        """Return the JSON of a result as its value."""
        return self._load(value) if self._load else cast("R", value)

    def _outcome(self, timeout: float | None) -> Any:
        return self._run(jobs.result(self.id, timeout, self._session.clock, self._first))


class Job(JobHandle[Driver, R]):
    """A job."""

    def status(self) -> State:
        """Return its state."""
        return self.state().status

    def result(self, timeout: float | None = None) -> R:
        """Wait for its end, and return its result. Raises JobFailed, JobCancelled, or TimeoutError."""
        return self.loaded(self._outcome(timeout))

    def events(self) -> Iterator[JobEvent]:
        """Follow it until it has ended; an interrupted stream is resumed."""
        return self._driver.iterate(events(self._session, self.id))  # type: ignore[no-any-return]  # of either driver


class AsyncJob(JobHandle[AsyncDriver, R]):
    """A job, for `AsyncClient`."""

    async def status(self) -> State:
        """Return its state."""
        return (await self.state()).status

    async def result(self, timeout: float | None = None) -> R:
        """Wait for its end, and return its result. Raises JobFailed, JobCancelled, or TimeoutError."""
        return self.loaded(await self._outcome(timeout))

    def events(self) -> AsyncIterator[JobEvent]:
        """Follow it until it has ended; an interrupted stream is resumed."""
        return self._driver.iterate(events(self._session, self.id))  # type: ignore[no-any-return]  # of either driver


class JobVerbs(Resource[D]):
    """The verbs of a client about jobs, by their ids."""

    get = verb(jobs.job)
    status = verb(jobs.status)
    input = verb(jobs.job_input)
    outcome = verb(jobs.outcome)
    cancel = verb(jobs.cancel)
    retry = verb(jobs.retry)
    explain = verb(jobs.why)
    logs = items(jobs.logs, LogLineView)
    list = items(jobs.jobs, JobSummaryView)
    page = verb(jobs.page)
    errors = verb(jobs.errors)
    operations = verb(reads.operations)
    stats = verb(reads.stats)
    usage = verb(reads.usage)
