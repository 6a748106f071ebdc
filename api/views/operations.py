"""GET /operations: the registered operations with their defaults, their live workers and their recent usage."""

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from api.schemas import BackoffView
from api.web.ttl_cache import TenantCache
from common.domain.job import required_operation
from common.domain.operation_spec import OperationSpec
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.operations import catalogue as store
from common.store.operations import sightings, usage
from common.store.operations.usage import OperationUsage
from common.store.queues import queue_state

CACHE_S = 5.0


class Percentiles(BaseModel):
    """Percentiles over recent jobs: the newest ones of the last day that have ended."""

    p50: float = Field(description="Half of the jobs used no more.")
    p95: float = Field(description="95 of 100 jobs used no more.")
    p99: float = Field(description="99 of 100 jobs used no more.")


class RecentUsage(BaseModel):
    """The resources that recent jobs used in their last attempt."""

    jobs: int = Field(
        description="The number of jobs measured: those of the operation among the newest 5,000 of all operations."
    )
    execution_seconds: Percentiles = Field(description="The time in the operation.")
    cpu_seconds: Percentiles | None = Field(description="The CPU time of the worker process during the operation.")
    peak_memory_mebibytes: Percentiles | None = Field(
        description="The peak memory of the worker process, in MiB, while the batch of the job ran."
    )


class OperationDefaults(BaseModel):
    """The options of a submission that does not set its own."""

    max_attempts: int = Field(description="The number of charged attempts after which a job ends `FAILED`.")
    backoff: BackoffView
    timeout_seconds: float | None = Field(description="The time limit of one attempt. Null: none.")


class OperationView(BaseModel):
    """An operation that jobs can be submitted for."""

    name: str = Field(description="The name of the operation, for submissions.", examples=["square_sum"])
    version: int = Field(
        description="The version for which jobs are submitted now. Only workers that know it claim them."
    )
    oldest_version: int = Field(description="The oldest version whose jobs the workers still run.")
    queue: str = Field(description="The queue of the operation's jobs.")
    description: str = Field(description="What the operation does: the first paragraph of its docstring.")
    queues: list[str] = Field(description="The queues that a submission may name with `queue`. `queue` is the default.")
    input_schema: dict[str, Any] = Field(
        description="The JSON Schema of the input. A submission that breaks it is refused; formats and patterns are "
        "read as Pydantic reads them."
    )
    output_schema: dict[str, Any] = Field(description="The JSON Schema of the result. Empty: any JSON.")
    defaults: OperationDefaults
    seen_at: datetime = Field(
        description="When a worker last knew the operation, to within ten minutes. One that the workers of its queue "
        "have not known for a day, unless set otherwise, is removed from this list."
    )
    workers_alive: int = Field(
        description="Worker processes with a valid lease that serve the queue and know this version."
    )
    recent: RecentUsage | None = Field(description="Null if no job of the operation has ended recently.")


class OperationList(BaseModel):
    """The operations that workers have registered."""

    operations: list[OperationView] = Field(description="The operations, by name.")


def operation_list_cache(pool: DatabasePool) -> TenantCache[OperationList]:
    """Return a cache of the operations, which reads them at most once in CACHE_S seconds for each tenant."""

    def read(connection: Connection, tenant: int) -> OperationList:
        recent = usage.read(connection, tenant, int(time.time() * 1000))
        workers = queue_state.workers_by_operation(connection)
        seen_at = sightings.seen_at(connection)
        return OperationList(
            operations=[
                _operation_view(spec, recent.get(name), workers, seen_at[name])
                for name, spec in sorted(store.read(connection).items())
                if name in seen_at  # else it was published or forgotten between the two reads
            ]
        )

    async def load(tenant: int) -> OperationList:
        """Read the operations, and the usage of a tenant's jobs, from the database."""
        return await pool.run_sync(partial(read, tenant=tenant), Lane.EXPENSIVE, tenant=tenant)

    return TenantCache(load, CACHE_S)


def _operation_view(
    spec: OperationSpec, recent: OperationUsage | None, workers: dict[tuple[str, str], int], seen_at: datetime
) -> OperationView:
    return OperationView(
        name=spec.name,
        version=spec.version,
        oldest_version=spec.oldest_version,
        queue=spec.queue,
        queues=list(spec.queues),
        description=spec.description,
        input_schema=spec.input_schema,
        output_schema=spec.output_schema,
        defaults=OperationDefaults(
            max_attempts=spec.retry.max_attempts,
            backoff=BackoffView(base_seconds=spec.retry.base_s, cap_seconds=spec.retry.cap_s),
            timeout_seconds=spec.timeout_s,
        ),
        seen_at=seen_at,
        workers_alive=workers.get((spec.queue, required_operation(spec.name, spec.version)), 0),
        recent=None if recent is None else _recent_usage(recent),
    )


def _recent_usage(recent: OperationUsage) -> RecentUsage:
    execution_s = _percentiles(recent.execution_s)
    assert execution_s is not None  # noqa: S101 - only jobs with a measured time are counted
    return RecentUsage(
        jobs=recent.jobs,
        execution_seconds=execution_s,
        cpu_seconds=_percentiles(recent.cpu_s),
        peak_memory_mebibytes=_percentiles(recent.peak_mib),
    )


def _percentiles(values: Sequence[float | None]) -> Percentiles | None:
    return None if None in values else Percentiles(**dict(zip(Percentiles.model_fields, values, strict=True)))
