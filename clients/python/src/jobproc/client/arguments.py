"""The parts that both clients have: their configuration, and the resources of which verbs are written once."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from typing_extensions import TypedDict

from jobproc.client.calls import reads, results
from jobproc.client.calls.jobs import submission
from jobproc.client.connection.configuration import configuration
from jobproc.client.connection.retries import RetryPolicy
from jobproc.client.connection.session import Session
from jobproc.client.connection.verbs import D, verb
from jobproc.client.handles.batches import BatchVerbs
from jobproc.client.handles.bulk_actions import BulkActionVerbs, Draft
from jobproc.client.handles.jobs import JobHandle, JobVerbs
from jobproc.client.handles.resources import Audit, Feed, Keys, Queues, Schedules, Webhooks
from jobproc.client.handles.workflows import WorkflowVerbs
from jobproc.client.operations import OperationCall, submission_of

A = TypeVar("A")
H = TypeVar("H", bound=JobHandle[Any, Any])
WINDOW_JOBS = 10_000  # of a map


class Arguments(TypedDict, total=False):
    """The configuration of a client. What is not given comes from the environment, then from the profile."""

    url: str
    api_key: str
    profile: str
    oidc_issuer: str
    oidc_client_id: str
    oidc_client_secret: str
    oidc_scope: str
    oidc_audience: str
    ca_file: str
    proxy: str
    timeout_s: float


def session_of(arguments: Arguments, retries: RetryPolicy | None) -> Session:
    """Return the session of a client. Raises ConfigurationError."""
    return Session(configuration(dict(arguments)), retries)  # type: ignore[arg-type]  # only str and float


class ClientVerbs(JobVerbs[D]):
    """The verbs and the resources that both clients have."""

    request = verb(reads.raw)

    def __init__(self, session: Session, driver: D) -> None:
        super().__init__(session, driver)
        self.queues: Queues[D] = Queues(session, driver)
        self.schedules: Schedules[D] = Schedules(session, driver)
        self.batches: BatchVerbs[D] = BatchVerbs(session, driver)
        self.workflows: WorkflowVerbs[D] = WorkflowVerbs(session, driver)
        self.keys: Keys[D] = Keys(session, driver)
        self.webhooks: Webhooks[D] = Webhooks(session, driver)
        self.feed: Feed[D] = Feed(session, driver)
        self.audit: Audit[D] = Audit(session, driver)

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return self._session.configuration.url

    def _bulk_actions(self, send: Callable[[Draft[A]], A]) -> BulkActionVerbs[D, A]:
        return BulkActionVerbs(self._session, self._driver, send)

    def _mapped(
        self,
        operation: str | OperationCall[..., Any],
        source: Any,
        window: int,
        report: Callable[[int, int], None],
        options: Any,
        *,
        is_ordered: bool,
    ) -> Any:
        """Return the iterator over the ended jobs of a map, as the API shows them."""
        if window < 1:
            raise ValueError(f"window: at least one job is expected, not {window}")
        if isinstance(operation, OperationCall):
            operation = operation.options(**options)

        def body(item: Any) -> dict[str, Any]:
            """Return the submission of an input."""
            name, job_input, given, _ = submission_of(operation, (item,), options if isinstance(operation, str) else {})
            return submission(name, job_input, given)

        mapped = results.MappedJobs(source, body, window, is_ordered, self._session.clock, report)
        return self._iterate(mapped.run())

    def _ended(self, jobs: Iterable[H], timeout_s: float | None) -> tuple[dict[str, H], Any]:
        """Return jobs by their ids, and the iterator over those that end, as the API shows them."""
        by_id = {job.id: job for job in jobs}
        return by_id, self._iterate(results.as_completed(list(by_id), timeout_s, self._session.clock))


def total_of(inputs: object) -> int | None:
    """Return the number of inputs; None: it is unknown."""
    return len(inputs) if hasattr(inputs, "__len__") else None
