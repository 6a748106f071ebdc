"""Results: handles of the jobs of tasks and groups, with Celery's verbs and states."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jobproc.celery.attempts import context_in_use
from jobproc.celery.configuration import client_in_use
from jobproc.celery.errors import NotMapped

if TYPE_CHECKING:
    from jobproc.client import Client, Job
    from jobproc.client.views.jobs import JobView, ProgressView

#: Celery's names of the states.
STATES = {
    "SCHEDULED": "PENDING",
    "BLOCKED": "PENDING",
    "PENDING": "PENDING",
    "IN_PROGRESS": "STARTED",
    "RETRYING": "RETRY",
    "SUCCESS": "SUCCESS",
    "FAILED": "FAILURE",
    "CANCELLED": "REVOKED",
}
READY = frozenset({"SUCCESS", "FAILURE", "REVOKED"})


class AsyncResult:
    """A handle of a job. Each question is a request to the API."""

    def __init__(self, id: str, *, client: "Client | None" = None, parent: "AsyncResult | None" = None) -> None:  # noqa: A002 - as Celery calls it
        """`client`: None: that of this process. `parent`: the step before it in a chain."""
        self.id = id
        self.parent = parent
        self._client = client

    @property
    def task_id(self) -> str:
        """The id of the job."""
        return self.id

    @property
    def client(self) -> "Client":
        """The client that is asked."""
        return self._client or client_in_use()

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,  # noqa: ARG002 - nothing is polled
        disable_sync_subtasks: bool = True,
    ) -> Any:
        """Wait for the end of the job, and return its result.

        Raises JobFailed or JobCancelled, or returns it without `propagate`; TimeoutError when the time is up. Raises
        RuntimeError in a task, which would hold a worker process while it waits.
        """
        _check_not_in_task(disable_sync_subtasks)
        from jobproc.client.errors import JobCancelled, JobFailed

        try:
            return self.client.result(self.id, timeout)
        except (JobFailed, JobCancelled) as error:
            if propagate:
                raise
            return error

    wait = get

    @property
    def state(self) -> str:
        """The state by Celery's name; the one of `update_state` while that is the latest."""
        found = self.client.status(self.id)
        progress = found.get("progress")  # absent unless an attempt runs
        if found.status == "IN_PROGRESS" and progress:
            return reported(progress)[0] or "STARTED"
        return STATES[found.status]

    @property
    def status(self) -> str:
        """The state by Celery's name."""
        return self.state

    @property
    def result(self) -> Any:
        """The result of a job that has succeeded, the error of one that has not, else what it has reported."""
        from jobproc.client.errors import JobCancelled, JobFailed

        found = self.client.outcome(self.id)
        if found.status == "SUCCESS":
            return found.result
        if found.status == "FAILED":
            error = found.error
            return JobFailed(self.id, error.type if error else "", error.text if error else "")
        if found.status == "CANCELLED":
            return JobCancelled(self.id)
        progress = self.client.status(self.id).get("progress")
        return reported(progress)[1] if progress else None

    @property
    def info(self) -> Any:
        """The result."""
        return self.result

    def ready(self) -> bool:
        """Return True if the job has ended."""
        return STATES[self.client.status(self.id).status] in READY

    def successful(self) -> bool:
        """Return True if it has a result."""
        return self.client.status(self.id).status == "SUCCESS"

    def failed(self) -> bool:
        """Return True if it has failed."""
        return self.client.status(self.id).status == "FAILED"

    @property
    def traceback(self) -> str | None:
        """The traceback of its error."""
        error = self.details().error
        return error.traceback if error else None

    @property
    def name(self) -> str:
        """The name of its operation."""
        return self.details().operation

    @property
    def retries(self) -> int:
        """The attempts after the first one."""
        return max(0, self.details().attempt - 1)

    @property
    def date_done(self) -> str | None:
        """The time of its end."""
        return self.details().finished_at

    def details(self) -> "JobView":
        """Return the job as the API has it."""
        return self.client.get(self.id)

    def revoke(self, terminate: bool = False, signal: str | None = None, wait: bool = False) -> None:  # noqa: ARG002 - a cancel needs neither
        """Cancel the job if it waits; with `terminate` also if it runs."""
        if terminate or self.client.status(self.id).status != "IN_PROGRESS":
            self.client.cancel(self.id)

    def forget(self) -> None:
        """Raise NotMapped: retention deletes jobs."""
        raise NotMapped("forget: retention deletes results; give the job keep_seconds")

    def __eq__(self, other: object) -> bool:
        """Return True for a handle of the same job."""
        return isinstance(other, AsyncResult) and other.id == self.id

    def __hash__(self) -> int:
        """Return the hash of the id."""
        return hash(self.id)

    def __str__(self) -> str:
        """Return the id."""
        return self.id

    def __repr__(self) -> str:
        """Return the id."""
        return f"<AsyncResult {self.id}>"


class GroupResult:
    """A handle of the jobs of a group, in their order. A group in a group is a handle of its own."""

    def __init__(
        self,
        id: str,  # noqa: A002 - as Celery calls it
        results: "list[AsyncResult | GroupResult]",
        *,
        client: "Client | None" = None,
    ) -> None:
        """`id`: of the batch or the workflow."""
        self.id = id
        self.results = results
        self._client = client

    @property
    def children(self) -> "list[AsyncResult | GroupResult]":
        """The handles of its parts."""
        return self.results

    @property
    def client(self) -> "Client":
        """The client that is asked."""
        return self._client or client_in_use()

    def leaves(self) -> list[AsyncResult]:
        """Return the handles of all jobs."""
        return [leaf for part in self.results for leaf in (part.leaves() if isinstance(part, GroupResult) else [part])]

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,  # noqa: ARG002 - as in AsyncResult
        disable_sync_subtasks: bool = True,
    ) -> list[Any]:
        """Wait for all jobs, hundreds in a request, and return the list of their results.

        Raises the first error that is met, or returns errors in their places without `propagate`; TimeoutError.
        """
        _check_not_in_task(disable_sync_subtasks)
        from jobproc.client.errors import JobCancelled, JobFailed

        values: dict[str, Any] = {}
        jobs: list[Job[Any]] = [self.client.job(leaf.id) for leaf in self.leaves()]
        for job in self.client.as_completed(jobs, timeout):
            try:
                values[job.id] = job.result()
            except (JobFailed, JobCancelled) as error:
                if propagate:
                    raise
                values[job.id] = error
        return self.in_shape(values)

    join = get
    join_native = get

    def in_shape(self, values: dict[str, Any]) -> list[Any]:
        """Return the values of jobs, by their ids, in the shape of the groups."""
        return [part.in_shape(values) if isinstance(part, GroupResult) else values[part.id] for part in self.results]

    def ready(self) -> bool:
        """Return True if all jobs have ended."""
        return all(state in READY for state in self._states())

    def successful(self) -> bool:
        """Return True if all jobs have a result."""
        return all(state == "SUCCESS" for state in self._states())

    def failed(self) -> bool:
        """Return True if a job has failed."""
        return "FAILURE" in self._states()

    def waiting(self) -> bool:
        """Return True if a job has not ended."""
        return not self.ready()

    def completed_count(self) -> int:
        """Return the number of jobs that have succeeded."""
        return self._states().count("SUCCESS")

    def _states(self) -> list[str]:
        return [STATES[self.client.status(leaf.id).status] for leaf in self.leaves()]

    def revoke(self, terminate: bool = False) -> None:
        """Cancel each job."""
        for leaf in self.leaves():
            leaf.revoke(terminate)

    def __iter__(self) -> "Iterator[AsyncResult | GroupResult]":
        """Return the handles."""
        return iter(self.results)

    def __len__(self) -> int:
        """Return the number of handles."""
        return len(self.results)

    def __getitem__(self, index: int) -> "AsyncResult | GroupResult":
        """Return a handle by its place."""
        return self.results[index]

    def __repr__(self) -> str:
        """Return the id and the handles."""
        return f"<GroupResult {self.id}: {self.results!r}>"


def reported(progress: "ProgressView") -> tuple[str | None, Any]:
    """Return the state and the meta-data of `update_state`; of other progress its fraction and text."""
    state, _, meta = (progress.text or "").partition(" ")
    if state.isupper():
        try:
            return state, json.loads(meta) if meta else None
        except ValueError:  # the text is cut, or another operation's
            pass
    return None, {"fraction": progress.fraction, "text": progress.text}


def _check_not_in_task(disable_sync_subtasks: bool) -> None:
    if disable_sync_subtasks and context_in_use() is not None:
        raise RuntimeError(
            "a task that waits for another one holds its worker process: make a chain, or allow it with "
            "disable_sync_subtasks=False"
        )
