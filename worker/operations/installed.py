"""An operation as a worker holds it: what a package has declared, and its form in the catalogue."""

from dataclasses import dataclass

import jobproc
from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class InstalledOperation:
    """An operation of this image."""

    spec: OperationSpec
    declared: jobproc.Operation

    @property
    def is_async(self) -> bool:
        """True for an `async def`: many of its jobs run at a time in one process."""
        return self.declared.is_async


def installed(declared: jobproc.Operation) -> InstalledOperation:
    """Return a declared operation with its form in the catalogue."""
    options = declared.options
    spec = OperationSpec(
        name=declared.name,
        queue=options.queue,
        retry=RetryPolicy(options.max_attempts, options.base_seconds, options.cap_seconds),
        timeout_s=options.timeout_seconds,
        description=declared.description,
        input_schema=declared.input_schema,
        version=options.version,
        oldest_version=options.oldest_version,
        queues=options.queues,
        output_schema=declared.output_schema,
    )
    return InstalledOperation(spec, declared)
