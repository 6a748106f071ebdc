"""Tests of operations: runs an operation in the process of the test, as a worker does, without a server.

Start at `running.py`, which has `run` and `arun`; `outcomes.py` has what they return. `pytest_plugin.py` has the
fixtures, and alone imports pytest. Imports `jobproc` and Pydantic alone.
"""

from jobproc.testing.outcomes import (
    AddedJob,
    Cancelled,
    Failed,
    LogLine,
    NoResultError,
    Outcome,
    Progress,
    Retries,
    SubmittedJob,
    SubmittedWorkflow,
    Succeeded,
)
from jobproc.testing.running import RunOptions, arun, run

__all__ = [
    "AddedJob",
    "Cancelled",
    "Failed",
    "LogLine",
    "NoResultError",
    "Outcome",
    "Progress",
    "Retries",
    "RunOptions",
    "SubmittedJob",
    "SubmittedWorkflow",
    "Succeeded",
    "arun",
    "run",
]
