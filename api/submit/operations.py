"""The list of operations, as the workers have written it down, kept for a while."""

import asyncio
import time
from itertools import islice
from typing import Any

from jsonschema_rs import ValidationError, validator_for

from api.web.problems import MAX_ERRORS
from common.domain.errors import UnknownOperation
from common.domain.operation_spec import OperationSpec
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.operations import catalogue
from common.telemetry import logs

log = logs.get("api")
MAX_REASON_CHARACTERS = 200  # characters: a name in it may be the client's
UNKNOWN_REFRESH_INTERVAL_S = 1.0  # an unknown name makes the list be read again, but not more often than this

NUMBERS_SCHEMA = {"data": {"type": "array", "minItems": 1, "items": {"type": "number"}}}


def _data_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a schema asks of its only member, without titles."""
    members = schema.get("properties", {}) if schema.get("required") == ["data"] else {}
    return {name: {key: value for key, value in member.items() if key != "title"} for name, member in members.items()}


class CachedOperation:
    """An operation, and what it refuses as input before a worker sees it."""

    def __init__(self, spec: OperationSpec) -> None:
        self.spec = spec
        # Numbers have been checked where their schema is that of the built-in operations, which is most of all submissions.
        self._takes_numbers = _data_schema(spec.input_schema) == NUMBERS_SCHEMA
        try:
            self._schema = validator_for(spec.input_schema, mask="the value")
        except ValidationError:  # a worker's own model decides, then
            log.warning("schema_not_usable", operation=spec.name)
            self._schema = validator_for({})

    def input_errors(self, value: Any, *, are_checked_numbers: bool) -> list[tuple[str, str]]:
        """Return where an input breaks the operation's schema, and how; at most MOST_ERRORS. `numbers`: it is a checked list of numbers."""
        if are_checked_numbers and self._takes_numbers:
            return []
        found = islice(self._schema.iter_errors(value), MAX_ERRORS)
        return [(".".join(map(str, error.instance_path)), error.message[:MAX_REASON_CHARACTERS]) for error in found]


class OperationCache:
    """Knows operations by name."""

    def __init__(self, settings: Settings, pool: DatabasePool) -> None:
        self._ttl_s = settings.catalogue_seconds
        self._pool = pool
        self._operations: dict[str, CachedOperation] = {}
        self._read_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    async def get(self, name: str, field: str = "operation") -> CachedOperation:
        """Return an operation. Raises UnknownOperation, or StoreUnavailable where the list has never been read.

        A known operation is answered at once, from an old list too; a new one is on its way then.
        """
        age = time.monotonic() - self._read_at
        known = self._operations.get(name)
        if known is None and age > UNKNOWN_REFRESH_INTERVAL_S:
            await asyncio.shield(self._refresh())
            known = self._operations.get(name)
        elif known is not None and age > self._ttl_s:
            self._refresh().add_done_callback(_log_failed_refresh)
        if known is None:
            raise UnknownOperation(field, sorted(self._operations))
        return known

    def _refresh(self) -> "asyncio.Task[None]":
        """Return the reading that is under way, or begin one: however many ask, one asks the database."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._read())
        return self._refreshing

    async def _read(self) -> None:
        logs.request_id.set(b"")  # begun by one request, it serves all
        specs = await self._pool.run_sync(catalogue.read)
        self._operations = {name: had if (had := self._operations.get(name)) and had.spec == spec else CachedOperation(spec) for name, spec in specs.items()}
        self._read_at = time.monotonic()


def _log_failed_refresh(reading: "asyncio.Task[None]") -> None:
    """Take note of a failed reading in the background; the next request begins another."""
    if not reading.cancelled() and (error := reading.exception()):
        log.warning("operations_not_read", reason=str(error))
