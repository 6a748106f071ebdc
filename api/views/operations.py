"""The operations as clients see them: how to call each, its defaults, who runs it, what it took lately."""

import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from api.web.ttl_cache import TtlCache
from common.domain.job import required_operation
from common.domain.operation_spec import OperationSpec
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.operations import catalogue as store
from common.store.operations import usage
from common.store.operations.usage import OperationUsage
from common.store.queues import queue_state

CACHE_S = 5.0


class Percentiles(BaseModel):
    """Of the newest jobs of the last day that have ended."""

    p50: float
    p95: float
    p99: float


class RecentUsage(BaseModel):
    """What its newest jobs took in their last attempt."""

    jobs: int = Field(description="How many were looked at: those among the newest 5,000 of all operations.")
    run_s: Percentiles = Field(description="Seconds in the operation.")
    cpu_s: Percentiles | None = Field(description="Seconds of CPU meanwhile.")
    peak_mib: Percentiles | None = Field(description="Most memory of the process while the batch ran in which the job was, in MiB.")


class OperationDefaults(BaseModel):
    """What a submission gets that does not say otherwise."""

    max_attempts: int
    backoff_base: float = Field(description="Seconds before the second attempt, before jitter.")
    backoff_cap: float = Field(description="Longest wait in seconds.")
    timeout: float | None = Field(description="Limit of one attempt in seconds; null: none.")


class OperationView(BaseModel):
    """An operation."""

    name: str = Field(examples=["square_sum"])
    version: int = Field(description="What is submitted now is for this version, and only workers that know it take it.")
    oldest_version: int = Field(description="The oldest version whose jobs its workers still run.")
    queue: str
    description: str
    input_schema: dict[str, Any] = Field(description="JSON Schema of its input; what breaks it is refused.")
    defaults: OperationDefaults
    workers_alive: int = Field(description="Worker processes with a lease that serve its queue and know this version.")
    recent: RecentUsage | None = Field(description="Null where no job of it has ended lately.")


class OperationList(BaseModel):
    """The operations that workers have shown to know."""

    operations: list[OperationView]


def operation_list_cache(pool: DatabasePool) -> TtlCache[OperationList]:
    """Return the operations, a few seconds old at most."""

    def read(connection: Connection) -> OperationList:
        taken = usage.read(connection, int(time.time() * 1000))
        alive = queue_state.workers_by_operation(connection)
        return OperationList(operations=[_operation_view(spec, taken.get(name), alive) for name, spec in sorted(store.read(connection).items())])

    async def ask() -> OperationList:
        """Read them."""
        return await pool.run_sync(read)

    return TtlCache(ask, CACHE_S)


def _operation_view(spec: OperationSpec, taken: OperationUsage | None, alive: dict[tuple[str, str], int]) -> OperationView:
    return OperationView(
        name=spec.name,
        version=spec.version,
        oldest_version=spec.since,
        queue=spec.queue,
        description=spec.description,
        input_schema=spec.input_schema,
        defaults=OperationDefaults(max_attempts=spec.retry.max_attempts, backoff_base=spec.retry.base_s, backoff_cap=spec.retry.cap_s, timeout=spec.timeout_s),
        workers_alive=alive.get((spec.queue, required_operation(spec.name, spec.version)), 0),
        recent=None if taken is None else _recent_usage(taken),
    )


def _recent_usage(taken: OperationUsage) -> RecentUsage:
    run_s = _percentiles(taken.run_s)
    assert run_s is not None  # noqa: S101 - only jobs whose time was seen are looked at
    return RecentUsage(jobs=taken.jobs, run_s=run_s, cpu_s=_percentiles(taken.cpu_s), peak_mib=_percentiles(taken.peak_mib))


def _percentiles(values: Sequence[float | None]) -> Percentiles | None:
    return None if None in values else Percentiles(**dict(zip(Percentiles.model_fields, values, strict=True)))
