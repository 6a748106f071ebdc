"""The Context: what an operation may ask of the attempt that runs it, and tell it."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from typing_extensions import Unpack

from jobproc.adding import AddOptions
from jobproc.parents import Parent
from jobproc.submission import SubmitOptions, WorkflowOptions


class Context(Protocol):
    """The running attempt, for an operation with a parameter of this type."""

    @property
    def job_id(self) -> str:
        """The job's id, a UUID. The same in all attempts: use it to make effects idempotent."""

    @property
    def attempt(self) -> int:
        """The number of the attempt, 1 for the first."""

    @property
    def deadline(self) -> datetime | None:
        """The time by which the job must have ended, however many attempts that takes. None: it has no deadline."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the submission."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of the submission. Empty if it has none."""

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The jobs of its workflow for which the job has waited, by name, in the order of the submission.

        Empty if it has waited for none. Read from the database with the first use. Raises ParentResultsTooLarge if
        their results are larger together than JOBPROC_MAX_PARENT_RESULTS_BYTES of the worker.
        """

    @property
    def logger(self) -> logging.Logger:
        """The logger of the operation, `jobproc.operation.<name>`."""

    def progress(self, fraction: float | None, text: str | None = None) -> bool:
        """Report progress: a fraction from 0 to 1 and a text, None for neither. Stored at most once a second.

        Returns False once the job was cancelled or is another worker's.
        """

    @property
    def cancelled(self) -> bool:
        """True within two seconds after a client has cancelled the job.

        Cheap: no other process is asked.
        """

    def check(self) -> None:
        """Raise jobproc.Cancelled once the job was cancelled. The operation need not catch it."""

    def submit(self, operation: str, job_input: object = None, /, **options: Unpack[SubmitOptions]) -> str:
        """Submit a further job by the API, and return its id. `job_input`: a dictionary, model or dataclass.

        The n-th call of an attempt has the idempotency key `<job id>.<n>`: an attempt that is repeated and submits the
        same jobs in the same order gets those of the first one. Set `idempotency_key` where the order may differ.
        Raises SubmissionError. Waits for the API: in an `async def` operation use `submit_async`.
        """

    async def submit_async(self, operation: str, job_input: object = None, /, **options: Unpack[SubmitOptions]) -> str:
        """Submit a further job as `submit` does, without blocking the event loop."""

    def submit_workflow(self, jobs: Sequence[Mapping[str, Any]], /, **options: Unpack[WorkflowOptions]) -> str:
        """Submit a workflow by the API, and return its id. `jobs`: each has the members of a job of POST /workflows.

        These are `operation`, `input`, `name`, `depends_on`, `on_parent_failure` and the options of `submit`. It counts
        among the calls of `submit`, and has the same idempotency keys. Raises SubmissionError.
        """

    async def submit_workflow_async(
        self, jobs: Sequence[Mapping[str, Any]], /, **options: Unpack[WorkflowOptions]
    ) -> str:
        """Submit a workflow as `submit_workflow` does, without blocking the event loop."""

    def add_job(self, operation: str, job_input: object = None, /, **options: Unpack[AddOptions]) -> str:
        """Add a job to the workflow of the running job, and return its name. `job_input`: as that of `submit`.

        It is stored with the result of the attempt, in one transaction: an attempt that fails adds none, and one that
        is repeated adds none twice. Jobs that wait for the running job wait for the added ones too. Nothing is sent
        before the operation returns, so an `async def` operation calls it as well. Raises SubmissionError.
        """
