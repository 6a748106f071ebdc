"""Operations for jobproc: functions that its workers run for submitted jobs.

Start at `declaration.py`, which has the decorator `@operation`; `operations.py` has what it makes of a function.
`hooks.py` has what runs beside operations, `testing` runs them in tests.
Imports only Pydantic and the standard library, nothing of the server.
"""

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
    "Attempt",
    "Cancelled",
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
]
