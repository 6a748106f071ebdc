"""Name and defaults of an operation, for the API and the controller; only workers have its code."""

from dataclasses import dataclass, field
from typing import Any

from common.domain.job import DEFAULT_QUEUE, required_operation
from common.domain.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """An operation's name and defaults."""

    name: str  #: as clients submit it; 1 to 64 characters of a-z, 0-9, _ and .
    queue: str = DEFAULT_QUEUE  #: queue of its jobs
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_s: float | None = 300.0  #: limit of one attempt in seconds; None: no limit
    description: str = ""  #: the first paragraph of its docstring
    input_schema: dict[str, Any] = field(default_factory=dict)  #: JSON Schema of its input
    version: int = 1  #: version of new submissions, 1 to 1000
    oldest_version: int = 1  #: oldest version whose jobs this code still runs
    queues: tuple[str, ...] = ()  #: those that a submission may name; none given: `queue` alone
    output_schema: dict[str, Any] = field(default_factory=dict)  #: JSON Schema of its result; empty: any JSON

    def __post_init__(self) -> None:
        """Allow the queue of the operation, if no queues are given."""
        object.__setattr__(self, "queues", self.queues or (self.queue,))

    @property
    def timeout_ms(self) -> int | None:
        """The limit of one attempt in milliseconds; None: no limit."""
        return None if self.timeout_s is None else round(self.timeout_s * 1000)

    @property
    def runnable(self) -> list[str]:
        """The names, one for each version, that a worker with this operation can run."""
        return [required_operation(self.name, version) for version in range(self.oldest_version, self.version + 1)]
