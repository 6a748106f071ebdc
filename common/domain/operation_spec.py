"""What an operation is, as far as everybody may know: the API and the controller read this, only workers have its code."""

from dataclasses import dataclass, field
from typing import Any

from common.domain.job import DEFAULT_QUEUE, required_operation
from common.domain.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """An operation's name and defaults."""

    name: str  #: as clients write it; 1 to 64 of a-z, 0-9, _ and .
    queue: str = DEFAULT_QUEUE  #: where its jobs go
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_s: float | None = 300.0  #: limit of one attempt in seconds; None: no limit
    description: str = ""  #: the first paragraph of its docstring
    input_schema: dict[str, Any] = field(default_factory=dict)  #: JSON Schema of its input
    version: int = 1  #: of what is submitted from now on, 1 to 1000
    since: int = 1  #: the oldest version whose jobs it still runs

    @property
    def timeout_ms(self) -> int | None:
        """The limit of one attempt in milliseconds, None for no limit."""
        return None if self.timeout_s is None else round(self.timeout_s * 1000)

    @property
    def runnable(self) -> list[str]:
        """What a worker with this operation knows: each version that it runs."""
        return [required_operation(self.name, version) for version in range(self.since, self.version + 1)]
