"""Operations for jobproc: functions that its workers run for submitted jobs.

Start at `declaration.py`, which has the decorator `@operation`; `operations.py` has what it makes of a function.
`hooks.py` has what runs beside operations, `testing` runs them in tests.
`client` submits jobs from other code, and needs `jobproc[client]`; `cli` is the command line, and needs `jobproc[cli]`.
Imports only Pydantic and the standard library, nothing of the server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobproc.client import AsyncClient, Client, remote
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

#: The modules of the names. Each is imported when it is first used: the command line does without Pydantic, and
#: workers without the HTTP library of the client.
_MODULES = {
    **dict.fromkeys(("AsyncClient", "Client", "remote"), "client"),
    "Context": "context",
    "operation": "declaration",
    **dict.fromkeys(("Attempt", "around_attempt", "on_process_start", "on_process_stop"), "hooks"),
    **dict.fromkeys(("Operation", "Options"), "operations"),
    "Parent": "parents",
    **dict.fromkeys(("SubmitOptions", "WorkflowOptions"), "submission"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'jobproc' has no attribute {name!r}")
    value = getattr(import_module(f"jobproc.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value
