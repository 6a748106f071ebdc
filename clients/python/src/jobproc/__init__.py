"""Operations for jobproc: functions that its workers run for submitted jobs.

Start at `declaration.py`, which has the decorator `@operation`; `operations.py` has what it makes of a function.
Imports only Pydantic and the standard library, nothing of the server.
"""

from jobproc.context import Context
from jobproc.declaration import operation
from jobproc.errors import (
    Cancelled,
    DeclarationError,
    InvalidInputError,
    JobprocError,
    PermanentFailure,
    ResultNotJsonError,
    RetryAfter,
    SubmissionError,
)
from jobproc.operations import Operation, Options
from jobproc.submission import SubmitOptions

__all__ = [
    "Cancelled",
    "Context",
    "DeclarationError",
    "InvalidInputError",
    "JobprocError",
    "Operation",
    "Options",
    "PermanentFailure",
    "ResultNotJsonError",
    "RetryAfter",
    "SubmissionError",
    "SubmitOptions",
    "operation",
]
