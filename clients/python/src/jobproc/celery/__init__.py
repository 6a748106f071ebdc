"""The way in from Celery: its decorator, its calls and its results, on jobs of this processor.

Start at `tasks.py`, which has the decorator `shared_task`; `attempts.py` runs its tasks in a worker. `signatures.py`
has chains, groups and chords, which `plans.py` submits. `apps.py` offers the tasks of an app of Celery. Imports
nothing of the server; Celery in `apps.py` and `check.py` alone, which are given an app, and the client when a task is
first submitted.
"""

from jobproc.celery.apps import register, route
from jobproc.celery.attempts import Request
from jobproc.celery.configuration import configure
from jobproc.celery.errors import MaxRetriesExceededError, NotMapped, Retry, SoftTimeLimitExceeded
from jobproc.celery.results import AsyncResult, GroupResult
from jobproc.celery.signatures import Signature, chain, chord, group, signature
from jobproc.celery.tasks import Task, shared_task

__all__ = [
    "AsyncResult",
    "GroupResult",
    "MaxRetriesExceededError",
    "NotMapped",
    "Request",
    "Retry",
    "Signature",
    "SoftTimeLimitExceeded",
    "Task",
    "chain",
    "chord",
    "configure",
    "group",
    "register",
    "route",
    "shared_task",
    "signature",
]
