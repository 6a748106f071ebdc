"""The cached list of operations: single-flight refreshes, stale reads, compiled schemas that are reused."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, cast

import pytest
from pydantic import BaseModel, Field, ValidationError
from rig.settings import settings_from

from api.submit import operations
from api.submit.operations import CachedOperation, OperationCache
from common.domain.errors import StoreUnavailable, UnknownOperation
from common.domain.operation_spec import OperationSpec
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.operations.sightings import SeenWorkers

SPEC = OperationSpec("square_sum")


class _Pool:
    """A database with one operation; counts how often it is read."""

    def __init__(self) -> None:
        self.specs = {SPEC.name: SPEC}
        self.error: Exception | None = None
        self.reads = 0

    async def run_sync(self, _read: Callable[..., Any], _lane: Lane) -> tuple[dict[str, OperationSpec], SeenWorkers]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return dict(self.specs), SeenWorkers()


def run(work: Callable[[OperationCache, _Pool], Awaitable[None]], ttl_s: float = 3_600.0) -> None:
    async def with_cache() -> None:
        settings = settings_from("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1/0")
        pool = _Pool()
        cache = OperationCache(
            settings.model_copy(update={"operations_cache_seconds": ttl_s}), cast("DatabasePool", pool)
        )
        await work(cache, pool)

    asyncio.run(with_cache())


async def refreshed() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_concurrent_requests_share_one_read() -> None:
    async def work(cache: OperationCache, pool: _Pool) -> None:
        await asyncio.gather(*(cache.get("square_sum") for _ in range(10)))
        assert pool.reads == 1

    run(work)


def test_an_unknown_name_refreshes_the_list_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(cache: OperationCache, pool: _Pool) -> None:
        for _ in range(5):
            with pytest.raises(UnknownOperation):
                await cache.get("nothing")
        assert pool.reads == 1
        monkeypatch.setattr(operations, "UNKNOWN_REFRESH_INTERVAL_S", 0.0)
        pool.specs["cube_sum"] = OperationSpec("cube_sum")
        assert (await cache.get("cube_sum")).spec.name == "cube_sum"
        assert pool.reads == 2

    run(work)


def test_a_known_operation_is_returned_from_a_stale_list_while_the_list_is_refreshed() -> None:
    async def work(cache: OperationCache, pool: _Pool) -> None:
        await cache.get("square_sum")
        pool.specs["square_sum"] = replace(SPEC, queue="other")
        assert (await cache.get("square_sum")).spec.queue == "default"
        await refreshed()
        assert (await cache.get("square_sum")).spec.queue == "other"

    run(work, ttl_s=0.0)


def test_a_failed_refresh_leaves_the_list_in_use_and_the_next_request_starts_another() -> None:
    async def work(cache: OperationCache, pool: _Pool) -> None:
        known = await cache.get("square_sum")
        pool.error = StoreUnavailable()
        for reads in (1, 2, 3):
            assert pool.reads == reads
            assert await cache.get("square_sum") is known
            await refreshed()

    run(work, ttl_s=0.0)


def test_the_first_read_raises_its_error() -> None:
    async def work(cache: OperationCache, pool: _Pool) -> None:
        pool.error = StoreUnavailable()
        with pytest.raises(StoreUnavailable):
            await cache.get("square_sum")

    run(work)


def test_the_compiled_schema_of_an_unchanged_operation_is_reused() -> None:
    async def work(cache: OperationCache, pool: _Pool) -> None:
        first = await cache.get("square_sum")
        await cache.get("square_sum")
        await refreshed()
        assert await cache.get("square_sum") is first
        assert pool.reads > 1

    run(work, ttl_s=0.0)


class Price(BaseModel):
    """Input with decimals that no double-precision number has exactly."""

    price: Annotated[Decimal, Field(multiple_of=Decimal("0.01"))]
    share: Annotated[float, Field(multiple_of=0.1)] = 0.0


def test_multiples_of_decimals_are_judged_as_the_model_judges_them() -> None:
    """0.07 is a multiple of 0.01, though the remainder of the two doubles is not 0."""
    operation = CachedOperation(OperationSpec("bill", input_schema=Price.model_json_schema()))
    for cents in range(10_000):
        value = {"price": float(f"{cents / 100:.2f}"), "share": float(f"{cents / 10:.1f}")}
        assert operation.input_errors(value, 30) == []
        assert Price.model_validate(value)
    for value in ({"price": 0.075}, {"price": 19.999}, {"price": 1.0, "share": 0.15}):
        assert operation.input_errors(value, 30)
        with pytest.raises(ValidationError):
            Price.model_validate(value)
