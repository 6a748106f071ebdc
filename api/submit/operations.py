"""The cached list of operations, against which submissions are checked."""

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

from jsonschema_rs import ValidationError, validator_for

from api.submit import unknown_operation
from api.submit.formats import FORMATS, with_numbers
from api.submit.patterns import PatternKeyword
from api.web.problems import MAX_ERRORS
from api.web.ttl_cache import TtlCache
from common.domain.errors import UnknownOperation
from common.domain.operation_spec import OperationSpec
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.operations import catalogue, sightings
from common.store.operations.sightings import SeenWorkers
from common.telemetry import logs

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logs.get("api")
# From this length on an input gets its first error alone: jsonschema makes all errors at once, a second for 350,000.
MAX_CHARACTERS_WITH_ALL_ERRORS = 4_096
MAX_REASON_CHARACTERS = 200  # a reason may contain a member name that the client chose
UNKNOWN_REFRESH_INTERVAL_S = 1.0  # an unknown name makes the API read the list again, at most this often

NUMBERS_SCHEMA = {"data": {"type": "array", "minItems": 1, "items": {"type": "number"}}}


def _refuse_document(_address: str) -> Any:
    """Refuse a reference out of a schema: no schema makes the API read a file or send a request."""
    raise ValueError("a schema cannot refer to another document")


def _data_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a schema whose only required member is `data`, without titles; else nothing."""
    members = schema.get("properties", {}) if schema.get("required") == ["data"] else {}
    return {name: {key: value for key, value in member.items() if key != "title"} for name, member in members.items()}


class CachedOperation:
    """An operation with its compiled input schema."""

    def __init__(self, spec: OperationSpec) -> None:
        self.spec = spec
        #: True if the schema is that of the built-in operations: a validated list of numbers needs no other check.
        self.takes_numbers = _data_schema(spec.input_schema) == NUMBERS_SCHEMA
        try:
            self._schema = validator_for(
                with_numbers(spec.input_schema),
                mask="the value",
                validate_formats=True,
                formats=FORMATS,
                keywords={"pattern": PatternKeyword},
                retriever=_refuse_document,
            )
        except ValueError:  # then only the worker's own model checks the input
            log.warning("input_schema_invalid", operation=spec.name)
            self._schema = validator_for({})

    def input_errors(self, value: Any, characters: int) -> list[tuple[str, str]]:
        """Return where an input breaks the operation's schema: (path, reason), at most MAX_ERRORS of them.

        `characters`: the length of its JSON. Of a long input only the first error is returned.
        """
        if self._schema.is_valid(value):
            return []
        if characters <= MAX_CHARACTERS_WITH_ALL_ERRORS:
            return [_path_and_reason(error) for error in islice(self._schema.iter_errors(value), MAX_ERRORS)]
        try:
            self._schema.validate(value)
        except ValidationError as error:
            return [_path_and_reason(error)]
        return []


def _path_and_reason(error: ValidationError) -> tuple[str, str]:
    return ".".join(map(str, error.instance_path)), error.message[:MAX_REASON_CHARACTERS]


class OperationCache:
    """The operations by name, read from the database at most once per JOBPROC_OPERATIONS_CACHE_SECONDS."""

    def __init__(self, settings: Settings, pool: DatabasePool) -> None:
        self._ttl_s = settings.operations_cache_seconds
        self._pool = pool
        self._operations: dict[str, CachedOperation] = {}  # in the order of their names
        self._workers = SeenWorkers()
        self._cache = TtlCache(self._load, self._ttl_s)

    async def get(self, name: str, field: str = "operation") -> CachedOperation:
        """Return an operation. A known one is returned at once, while a stale list is refreshed in the background.

        Raises UnknownOperation for `field`, or StoreUnavailable if the list has never been read.
        """
        age_s = self._cache.age_s
        operation = self._operations.get(name)
        if operation is None and age_s > UNKNOWN_REFRESH_INTERVAL_S:
            await asyncio.shield(self._cache.refresh())
            operation = self._operations.get(name)
        elif operation is not None and age_s > self._ttl_s:
            self._cache.refresh().add_done_callback(_log_failed_refresh)
        if operation is None:
            raise UnknownOperation(field, unknown_operation.reason(name, list(self._operations), self._workers))
        return operation

    async def _load(self) -> dict[str, CachedOperation]:
        specs, self._workers = await self._pool.run_sync(_read, Lane.INTAKE)
        known = self._operations
        self._operations = {  # an unchanged operation stays as it is: its schema is not compiled again
            name: cached if (cached := known.get(name)) and cached.spec == spec else CachedOperation(spec)
            for name, spec in specs.items()
        }
        return self._operations


def _read(connection: "Connection") -> tuple[dict[str, OperationSpec], SeenWorkers]:
    return catalogue.read(connection), sightings.seen_workers(connection)


def _log_failed_refresh(refresh: "asyncio.Task[dict[str, CachedOperation]]") -> None:
    """Log a refresh that failed in the background; the next request starts another."""
    if not refresh.cancelled() and (error := refresh.exception()):
        log.warning("operations_refresh_failed", reason=str(error))
