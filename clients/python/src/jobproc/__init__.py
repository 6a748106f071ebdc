"""Operations for jobproc: functions that its workers run for submitted jobs.

Start at `declaration.py`, which has the decorator `@operation`; `operations.py` has what it makes of a function.
`hooks.py` has what runs beside operations, `testing` runs them in tests.
`client` submits jobs from other code; it is imported when it is first used, because it needs `jobproc[client]`.
Imports only Pydantic and the standard library, nothing of the server.
"""

from typing import TYPE_CHECKING, Any

from jobproc.context import Context
from jobproc.declaration import operation
from jobproc.errors import (
    Cancelled,
    DeclarationError,
    HookError,
    InvalidInputError,
    JobprocError,
    ParentFailed,
    ParentResultsTooLarge,
    PermanentFailure,
    ResultNotJsonError,
    RetryAfter,
    SubmissionError,
)
from jobproc.hooks import Attempt, around_attempt, on_process_start, on_process_stop
from jobproc.operations import Operation, Options
from jobproc.parents import Parent
from jobproc.submission import SubmitOptions, WorkflowOptions

if TYPE_CHECKING:
    from jobproc.client import AsyncClient, Client, remote

__all__ = [
    "AsyncClient",
    "Attempt",
    "Cancelled",
    "Client",
    "Context",
    "DeclarationError",
    "HookError",
    "InvalidInputError",
    "JobprocError",
    "Operation",
    "Options",
    "Parent",
    "ParentFailed",
    "ParentResultsTooLarge",
    "PermanentFailure",
    "ResultNotJsonError",
    "RetryAfter",
    "SubmissionError",
    "SubmitOptions",
    "WorkflowOptions",
    "around_attempt",
    "on_process_start",
    "on_process_stop",
    "operation",
    "remote",
]

_CLIENT = frozenset({"AsyncClient", "Client", "remote"})


def __getattr__(name: str) -> Any:
    """Import the client when it is first used: workers do without it, and without its HTTP library."""
    if name in _CLIENT:
        from jobproc import client

        return getattr(client, name)
    raise AttributeError(f"module 'jobproc' has no attribute {name!r}")
