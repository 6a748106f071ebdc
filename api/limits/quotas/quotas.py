"""The quotas of tenants: how many jobs may wait and be submitted a minute, and how many bytes may be stored.

`running_jobs` is no matter of submissions: workers keep to it as they claim jobs.
"""

import math
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from api.limits.quotas.accepted import Accepted
from api.limits.quotas.stored_bytes import StoredBytes
from api.limits.quotas.usage_reader import MAX_BYTES_AGE_S, MAX_JOBS_AGE_S, UsageReader
from api.limits.rates.rate_limit import RateLimit
from api.limits.rates.shared_windows import SharedWindows
from api.limits.refusals import Refusals
from api.web.problem_kinds import QUOTA_EXCEEDED, QUOTA_TOO_SMALL
from api.web.problems import ProblemError
from common.domain.job import NewJob
from common.domain.tenancy.quotas import Quota, QuotaLimits, TenantUsage
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.telemetry import refusal_reasons

RETRY_AFTER_S = {Quota.WAITING_JOBS: 2, Quota.STORED_BYTES: 60}  # by then they are counted again
MAX_RETRY_AFTER_S = 60
_REASONS = {
    Quota.WAITING_JOBS: refusal_reasons.QUOTA_WAITING_JOBS,
    Quota.JOBS_PER_MINUTE: refusal_reasons.QUOTA_JOBS_PER_MINUTE,
    Quota.STORED_BYTES: refusal_reasons.QUOTA_STORED_BYTES,
}
_USES = {
    Quota.WAITING_JOBS: ("has {} waiting jobs", "The request has {} jobs"),
    Quota.JOBS_PER_MINUTE: ("has submitted {} jobs within a minute", "The request has {} jobs"),
    Quota.STORED_BYTES: ("has stored {} bytes", "The inputs and metadata of the request have {} bytes"),
}


class Quotas:
    """Admits the submissions of tenants."""

    def __init__(
        self,
        settings: Settings,
        pool: DatabasePool,
        windows: SharedWindows,
        refusals: Refusals,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._refusals = refusals
        self._per_minute = RateLimit("jobs", 0, windows, settings.rate_limits_without_redis, clock)
        self._accepted: dict[int, Accepted] = {}  # jobs, by tenant
        self._bytes = StoredBytes(pool, clock)
        self.usage = UsageReader(settings, pool, clock)

    async def admit(self, tenant: int, jobs: Sequence[NewJob]) -> "Admission":
        """Return the admission of new jobs, to be held while they are committed. Raises ProblemError (429, 403)."""
        size = sum(map(bytes_of, jobs))
        if not jobs or (tenant not in self.usage.tenants and not self.usage.is_due):  # as most are
            return Admission(self, tenant, len(jobs), size, None)
        return Admission(self, tenant, len(jobs), size, await self._check(tenant, len(jobs), size))

    async def admit_counted(self, tenant: int, jobs: int, size: int) -> "Admission":
        """Return the admission of so many new jobs that store so many bytes; see `admit`."""
        return Admission(self, tenant, jobs, size, await self._check(tenant, jobs, size))

    async def admit_retry(self, tenant: int, input_json: str | None) -> "Admission":
        """Return the admission of a manual retry, with a new input or without. Raises as `admit`."""
        size = 0 if input_json is None else _text_bytes(input_json)
        return Admission(self, tenant, 1, size, await self._check(tenant, 1, size))

    async def check_bulk_retry(self, tenant: int, jobs: int, jobs_per_second: int) -> None:
        """Raise ProblemError (429, 403) if a tenant's quotas do not admit a bulk action that retries `jobs` jobs."""
        limits = await self.limits_of(tenant)
        if limits is None:
            return
        quotas, usage = limits
        per_minute = min(jobs, jobs_per_second * 60)
        if quotas.jobs_per_minute is not None and per_minute > quotas.jobs_per_minute:
            raise self._too_small(Quota.JOBS_PER_MINUTE, quotas.jobs_per_minute, per_minute)
        self._check_waiting(tenant, quotas, usage, jobs)

    async def limits_of(self, tenant: int) -> tuple[QuotaLimits, TenantUsage] | None:
        """Return the quotas of a tenant and what it uses, as they were read last; None: it has no quotas."""
        if self.usage.is_due:
            await self.usage.refresh()
        return self.usage.tenants.get(tenant)

    async def _check(self, tenant: int, jobs: int, size: int) -> Accepted | None:
        """Raise ProblemError if a quota does not admit jobs. Return where they are counted; None: they are not."""
        limits = await self.limits_of(tenant)
        if limits is None:
            return None
        quotas, usage = limits
        self._check_waiting(tenant, quotas, usage, jobs)
        self._check_bytes(tenant, quotas, usage, size)
        if quotas.jobs_per_minute is not None:
            await self._take_of_minute(tenant, quotas.jobs_per_minute, jobs)
        return None if quotas.waiting_jobs is None else self._accepted.setdefault(tenant, Accepted())

    def submitted(self, tenant: int, limit: int | None) -> int | None:
        """Return how many jobs of a tenant count against its quota a minute, as far as this process knows."""
        return None if limit is None else limit - self._per_minute.left(str(tenant), limit)

    def _check_waiting(self, tenant: int, quotas: QuotaLimits, usage: TenantUsage, jobs: int) -> None:
        limit = quotas.waiting_jobs
        if limit is None:
            return
        if jobs > limit:
            raise self._too_small(Quota.WAITING_JOBS, limit, jobs)
        counted_at = max(self.usage.jobs_counted_at, self._clock() - MAX_JOBS_AGE_S)
        used = usage.waiting_jobs
        if (accepted := self._accepted.get(tenant)) is not None:
            accepted.forget_before(counted_at)
            used += accepted.pending + accepted.total
        if counted_at > self.usage.jobs_counted_at:
            return
        if used + jobs > limit:
            raise self._exceeded(Quota.WAITING_JOBS, limit, used, RETRY_AFTER_S[Quota.WAITING_JOBS])

    def _check_bytes(self, tenant: int, quotas: QuotaLimits, usage: TenantUsage, size: int) -> None:
        limit = quotas.stored_bytes
        if limit is None:
            return
        if size > limit:
            raise self._too_small(Quota.STORED_BYTES, limit, size)
        if self._clock() - self.usage.bytes_counted_at >= MAX_BYTES_AGE_S:
            return
        used = usage.stored_bytes + self._bytes.since(tenant, self.usage.bytes_counted_at)
        if used + size > limit:
            raise self._exceeded(Quota.STORED_BYTES, limit, used, RETRY_AFTER_S[Quota.STORED_BYTES])

    async def _take_of_minute(self, tenant: int, limit: int, jobs: int) -> None:
        refusal = await self._per_minute.take(str(tenant), jobs, limit)
        if refusal is None:
            return
        if math.isinf(refusal.wait_s):
            raise self._too_small(Quota.JOBS_PER_MINUTE, limit, jobs)
        wait_s = min(MAX_RETRY_AFTER_S, max(1, math.ceil(refusal.wait_s)))
        raise self._exceeded(Quota.JOBS_PER_MINUTE, limit, limit - self._per_minute.left(str(tenant), limit), wait_s)

    def _exceeded(self, quota: Quota, limit: int, used: int, retry_after_s: int) -> ProblemError:
        self._refusals.count(_REASONS[quota])
        return ProblemError(
            QUOTA_EXCEEDED,
            f"The tenant {_USES[quota][0].format(used)}, and its quota of {quota} is {limit}; nothing was stored.",
            headers={"Retry-After": str(retry_after_s)},
            quota=quota,
            limit=limit,
            used=used,
            wait_seconds=retry_after_s,
        )

    def _too_small(self, quota: Quota, limit: int, wanted: int) -> ProblemError:
        self._refusals.count(_REASONS[quota])
        return ProblemError(
            QUOTA_TOO_SMALL,
            f"{_USES[quota][1].format(wanted)}, and the tenant's quota of {quota} is {limit}; nothing was stored.",
            quota=quota,
            limit=limit,
        )

    def committed(self, admission: "Admission") -> None:
        """Count what was committed until the controller does."""
        if admission.accepted is not None:
            admission.accepted.add(self._clock(), admission.jobs)
        if admission.size:
            self._bytes.add(admission.tenant, admission.size)

    async def close(self) -> None:
        """End the reading, and write the bytes of the last minute."""
        await self.usage.close()
        await self._bytes.close()


class Admission:
    """Admitted jobs, counted while they wait for their commit, and after it unless the block raises an exception."""

    __slots__ = ("_quotas", "_waiting", "accepted", "jobs", "size", "tenant")

    def __init__(self, quotas: Quotas, tenant: int, jobs: int, size: int, accepted: Accepted | None) -> None:
        self._quotas = quotas
        self.tenant = tenant
        self.jobs, self.size = jobs, size  #: that are committed
        self._waiting = jobs
        self.accepted = accepted  #: where they are counted; None: the tenant has no quota of them

    def __enter__(self) -> Self:
        if self.accepted is not None:
            self.accepted.pending += self._waiting
        return self

    def keep(self, jobs: Sequence[NewJob]) -> None:
        """Count these jobs alone as committed: the others existed already."""
        self.jobs, self.size = len(jobs), sum(map(bytes_of, jobs))

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self.accepted is not None:
            self.accepted.pending -= self._waiting
        if kind is None:
            self._quotas.committed(self)


def bytes_of(job: NewJob) -> int:
    """Return the bytes that a job stores: its input and its metadata, as JSON text."""
    size = _text_bytes(job.input)
    return size if job.options is None or job.options.metadata is None else size + _text_bytes(job.options.metadata)


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
