"""Results of a worker process that are not settled yet."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from common.domain.job import CHILDREN, ClaimedJob, Links
from common.domain.workflows import AddedJob
from common.store.connection.statement import array_literal


@dataclass(slots=True)
class Results:
    """Attempts that ended with a result, ready to be settled."""

    ids: list[str] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    results: list[str] = field(default_factory=list)  #: JSON texts
    execution_us: list[int] = field(default_factory=list)  #: microseconds in the operation
    cpu_share: float | None = None  #: share of that time in which the process used a CPU; None: not measured
    peak_mib: float | None = None  #: highest memory of the process meanwhile; None: not measured
    characters: int = 0  #: of all results
    links: dict[str, Links] = field(default_factory=dict)  #: of jobs of workflows, by id
    added: dict[str, tuple[int, list[AddedJob]]] = field(default_factory=dict)  #: by id: the attempt, what it adds
    have_webhook: bool = False  #: an endpoint is told of the end of one of the jobs
    unblocked: dict[str, int] = field(default_factory=dict)  #: jobs that the settle has let run, by queue

    def add(self, job: ClaimedJob, result: str, execution_s: float) -> None:
        """Add the result (JSON text) of an attempt that took `execution_s` seconds in its operation."""
        self.characters += len(result)
        self.ids.append(job.id)
        self.attempts.append(job.attempt)
        self.results.append(result)
        self.execution_us.append(int(execution_s * 1e6))
        if job.has_webhook:
            self.have_webhook = True
        if job.links is not None:
            self.links[job.id] = job.links
            if job.added:
                self.added[job.id] = job.attempt, job.added

    @property
    def have_children(self) -> bool:
        """True if jobs wait for one of them alone."""
        return bool(self.links) and any(CHILDREN in links.flags for links in self.links.values())

    def rows(self) -> Iterator[tuple[ClaimedJob, str, float]]:
        """Yield each job with the fields that fence a write, its result, and its seconds in the operation."""
        for job_id, attempt, text, execution_us in zip(
            self.ids, self.attempts, self.results, self.execution_us, strict=True
        ):
            links, added = self.links.get(job_id), self.added.get(job_id, (0, None))[1]
            job = ClaimedJob(job_id, attempt, 0, 1, "", None, None, links=links, added=added)
            yield job, text, execution_us / 1e6

    def arguments(self) -> tuple[str, str, str, str, float | None, float | None]:
        """Return the arguments of a settle, arrays as literals."""
        return (
            array_literal(self.ids),
            array_literal(self.attempts),
            f"[{','.join(self.results)}]",
            array_literal(self.execution_us),
            self.cpu_share,
            self.peak_mib,
        )
