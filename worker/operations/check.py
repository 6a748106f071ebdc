"""`python -m worker --check`: the operations and queues of this environment as JSON, or why they cannot be imported."""

import contextlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from traceback import StackSummary, TracebackException

import jobproc
from common.domain.errors import StartupError
from worker.operations.entry_points import installed_operations
from worker.operations.installed import InstalledOperation

#: Beginnings of the files whose frames say nothing of a package: those of the import itself.
_OF_THE_IMPORT = ("<frozen importlib", str(Path(__file__).parent), str(Path(jobproc.__file__).parent))


def check() -> str:
    """Return the operations of this environment and the queues that they name, as JSON in one line.

    What a module prints while it is imported goes to stderr. Raises StartupError.
    """
    with contextlib.redirect_stdout(sys.stderr):
        operations = installed_operations().values()
    return json.dumps({"queues": queues_of(operations), "operations": [_described(each) for each in operations]})


def queues_of(operations: Iterable[InstalledOperation]) -> list[str]:
    """Return every queue that the operations name, in order."""
    return sorted({queue for operation in operations for queue in operation.spec.queues})


def import_traceback(error: StartupError) -> str:
    """Return the traceback of a failed import as its package sees it. Empty if no code of a package has raised."""
    return "".join(_of_packages(TracebackException.from_exception(error.__cause__)).format()) if error.__cause__ else ""


def _described(operation: InstalledOperation) -> dict[str, object]:
    spec = operation.spec
    return {
        "name": spec.name,
        "queue": spec.queue,
        "queues": list(spec.queues),
        "version": spec.version,
        "is_async": operation.is_async,
        "module": operation.declared.function.__module__,
    }


def _of_packages(report: TracebackException) -> TracebackException:
    """Leave out the frames of the import, in the causes too."""
    cause: TracebackException | None = report
    while cause is not None:
        frames = [frame for frame in cause.stack if not _is_of_the_import(frame.filename)]
        cause.stack = StackSummary.from_list(frames)
        cause = cause.__cause__ or cause.__context__
    return report


def _is_of_the_import(file: str) -> bool:
    return file.startswith(_OF_THE_IMPORT) or file.endswith("importlib/__init__.py")
