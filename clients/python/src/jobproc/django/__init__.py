"""Django: a backend of `django.tasks`, the operation that runs its tasks in a worker, and the outbox as a model.

Start at `backend.py`, which enqueues tasks and reads their results; `operation.py` runs them. As an installed app,
`jobproc.django` brings the table of the outbox and the command `jobproc_relay`.
Imports `jobproc` and Django, which the application brings.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobproc.django.backend import JobprocBackend
    from jobproc.django.operation import register

__all__ = ["JobprocBackend", "register"]


def __getattr__(name: str) -> Any:
    """Import with the first use: Django imports this module before its settings and models are ready."""
    if name == "JobprocBackend":
        from jobproc.django.backend import JobprocBackend

        return JobprocBackend
    if name == "register":
        from jobproc.django.operation import register

        return register
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
