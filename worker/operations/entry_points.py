"""The operations of an image: the built-in ones and those of installed packages, found by their entry points."""

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import unwrap
from types import ModuleType

from common.domain.errors import StartupError
from common.domain.webhooks.events import RESERVED_PREFIX
from jobproc import DeclarationError, hooks
from jobproc.operations import GROUP, operations_of, registered
from jobproc.signature import described
from worker.operations.installed import InstalledOperation, installed

BUILT_IN = ("worker.operations.power_sums",)


def installed_operations() -> dict[str, InstalledOperation]:
    """Return all operations of this image, by name: the built-in ones and those of installed packages.

    Raises StartupError, with the name of the entry point, if its module cannot be imported, or has neither an operation
    nor a hook. Only a KeyboardInterrupt passes: it ends the process as everywhere.
    """
    operations = operations_of_modules(BUILT_IN)
    points = {point.value: point for point in entry_points(group=GROUP)}
    for _, point in sorted(points.items()):
        try:
            module = _imported(point)
            found = _operations_of(module)
            if not found and not hooks.are_in(list(vars(module).values())):
                raise StartupError("it has no operation and no hook; import the functions there that have @operation")
            if reserved := [name for name in found if name.startswith(RESERVED_PREFIX)]:
                raise StartupError(f"operation {reserved[0]!r}: names that begin with {RESERVED_PREFIX} are built-in")
            operations |= found
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the code of a package raises: SystemExit too, which `exit()` raises
            raise StartupError(f"{_named(point)}: {_reason(error)}") from error
    return operations


def operations_of_modules(names: Iterable[str]) -> dict[str, InstalledOperation]:
    """Return the operations that modules define, by name.

    Raises StartupError if a module has lost one, and what its code raises.
    """
    operations: dict[str, InstalledOperation] = {}
    for module in map(import_module, names):
        operations |= _operations_of(module)
    return operations


def _imported(point: EntryPoint) -> ModuleType:
    if point.attr:
        raise StartupError("an entry point of operations names a module, without `:`")
    return import_module(point.module)


def _operations_of(module: ModuleType) -> dict[str, InstalledOperation]:
    """Return the operations whose functions are names of a module. Raises StartupError if one of its own is not."""
    names = list(vars(module).values())
    found = operations_of(names)
    for operation in registered.values():
        function = operation.function
        if getattr(unwrap(function), "__globals__", None) is vars(module) and operation not in found:
            raise StartupError(
                f"operation {operation.name!r}: the module has no name for what @operation has declared, "
                f"{described(function)}; @operation must be the first of its decorators, on a function of the module"
            )
    return {operation.name: installed(operation) for operation in found}


def _named(point: EntryPoint) -> str:
    package = f" of the package {point.dist.name!r}" if point.dist else ""
    return f"entry point {point.name!r} ({point.value}){package}"


def _reason(error: BaseException) -> str:
    """Return an error in one line."""
    text = (
        str(error)
        if isinstance(error, StartupError | DeclarationError)
        else f"the import fails: {type(error).__name__}: {error}"
    )
    return " ".join(text.split()).removesuffix(":")
