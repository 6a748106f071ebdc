"""The jobs of its workflow for which a job has waited, as its operation sees them."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from jobproc.errors import ParentFailed

ParentStatus = Literal["SUCCESS", "FAILED", "CANCELLED"]


@dataclass(frozen=True, slots=True)
class Parent:
    """A job for which the running job has waited. It has ended."""

    name: str  #: in the workflow
    job_id: str
    operation: str
    status: ParentStatus  #: FAILED and CANCELLED: only if the running job has `on_parent_failure` `run`
    json: str | None = None  #: the result as JSON text; None: it has not succeeded

    @property
    def succeeded(self) -> bool:
        """True if it has a result."""
        return self.status == "SUCCESS"

    @property
    def result(self) -> Any:
        """Its result, parsed from JSON with each use. Raises ParentFailed if it has not succeeded."""
        if self.json is None:
            raise ParentFailed(f"the job {self.name!r} has no result: it is {self.status}")
        return json.loads(self.json)
