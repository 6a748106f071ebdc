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


def main() -> int:
    """Print the operations as JSON in one line, or why they cannot be imported. Return the exit code.

    What a module prints while it is imported goes to stderr, and so does the reason.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = check()
    except StartupError as error:
        print(failure(error), file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


def check() -> dict[str, object]:
    """Return the operations of this environment, and the queues that they name. Raises StartupError."""
    operations = installed_operations().values()
    return {"queues": _queues_of(operations), "operations": [_described(each) for each in operations]}


def failure(error: StartupError) -> str:
    """Return why the operations cannot be imported: the traceback, if code of a package has raised, and a sentence."""
    return f"{_import_traceback(error)}worker: {error}"


def _queues_of(operations: Iterable[InstalledOperation]) -> list[str]:
    return sorted({queue for operation in operations for queue in operation.spec.queues})


def _import_traceback(error: StartupError) -> str:
    """Return the traceback of a failed import as its package sees it; empty if there is none."""
    if not isinstance(error.__cause__, Exception) or isinstance(error.__cause__, StartupError):
        return ""
    return "".join(_of_packages(TracebackException.from_exception(error.__cause__)).format())


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
