"""The rate limits of requests: by address before they authenticate, by tenant and by key afterwards."""

import asyncio
import math

from starlette.types import Message, Scope, Send

from api.limits.addresses import ClientAddresses
from api.limits.rates.rate_limit import RateLimit, Refusal
from api.limits.rates.shared_windows import WINDOW_S, SharedWindows
from api.limits.refusals import Refusals
from api.web.problem_kinds import RATE_LIMITED, UNAUTHENTICATED
from api.web.problems import ProblemError
from common.settings import Settings
from common.telemetry import refusal_reasons

COUNTED_BY_KEY = "jobproc.rate_limits"  # of the ASGI scope: the limits that have counted the request, and its subjects
MAX_RETRY_AFTER_S = WINDOW_S
#: Before wrong credentials beyond the limit are answered: a connection sends no more than four of them a second.
REFUSAL_PAUSE_S = 0.25
_COUNTED_KEY = "jobproc.failure_counted"  # of the ASGI scope
_ADDRESS, _TENANT, _KEY, _FAILURES = "address", "tenant", "key", "failed-authentications"
_REASONS = {
    _ADDRESS: refusal_reasons.REQUESTS_OF_ADDRESS,
    _TENANT: refusal_reasons.REQUESTS_OF_TENANT,
    _KEY: refusal_reasons.REQUESTS_OF_KEY,
    _FAILURES: refusal_reasons.FAILED_AUTHENTICATIONS,
}
_EVENTS = {
    _ADDRESS: "sent more than {} requests",
    _TENANT: "sent more than {} requests",
    _KEY: "sent more than {} requests",
    _FAILURES: "failed to authenticate more than {} times",
}
_SUBJECTS = {_ADDRESS: "This address", _TENANT: "The tenant", _KEY: "The caller", _FAILURES: "This address"}


class RequestLimits:
    """Counts requests, and refuses those beyond a limit."""

    def __init__(self, settings: Settings, windows: SharedWindows, refusals: Refusals) -> None:
        self._addresses = ClientAddresses(settings.trusted_proxies)
        self._refusals = refusals

        def limit(name: str, per_minute: int) -> RateLimit:
            return RateLimit(name, per_minute, windows, settings.rate_limits_without_redis)

        # While Redis is away new keys are looked up all the same.
        self._failures = RateLimit(_FAILURES, settings.max_failed_authentications_per_minute, windows)

        self._by_address = limit(_ADDRESS, settings.max_requests_per_minute_per_address)
        self._by_tenant = limit(_TENANT, settings.max_requests_per_minute_per_tenant)
        self._by_key = limit(_KEY, settings.max_requests_per_minute_per_key)
        self.counts_addresses = self._by_address.per_minute > 0
        self.counts_callers = self._by_tenant.per_minute > 0 or self._by_key.per_minute > 0

    async def check_address(self, scope: Scope) -> None:
        """Count a request before it authenticates. Raises ProblemError (429) beyond the limit of its address."""
        address = self._addresses.of_request(scope)
        await self._check(scope, self._by_address, address, address)

    async def check_caller(self, scope: Scope, tenant: int, caller: str) -> None:
        """Count a request of a known caller. Raises ProblemError (429) beyond the limit of its tenant or key."""
        if self._by_key.per_minute:
            await self._check(scope, self._by_key, f"{tenant}:{caller}")
        if self._by_tenant.per_minute:
            await self._check(scope, self._by_tenant, str(tenant))

    async def check_unknown_key(self, scope: Scope) -> None:
        """Count a key that may not exist before it is looked up. Raises ProblemError (429) beyond the limit.

        So a flood of such keys does not take the places of those that wait for the look-up.
        """
        if (problem := await self._count_failure(scope)) is not None:
            raise problem

    async def failed(self, scope: Scope, problem: ProblemError) -> ProblemError:
        """Count a request that a problem refuses, if it has failed to authenticate; return the problem to answer.

        It is another one (429) beyond the limit of the request's address. Right credentials from that address are let
        in all the same: nobody can guess a key, and many clients may share an address.
        """
        if problem.kind is not UNAUTHENTICATED or _COUNTED_KEY in scope:
            return problem
        return await self._count_failure(scope) or problem

    async def _count_failure(self, scope: Scope) -> ProblemError | None:
        if not self._failures.per_minute:
            return None
        scope[_COUNTED_KEY] = True
        address = self._addresses.of_request(scope)
        refusal = await self._failures.take(address)
        if refusal is None:
            return None
        problem = self._refused(self._failures, refusal, address)
        await asyncio.sleep(REFUSAL_PAUSE_S)
        return problem

    async def _check(self, scope: Scope, limit: RateLimit, subject: str, address: str = "") -> None:
        refusal = await limit.take(subject)
        if refusal is not None:
            raise self._refused(limit, refusal, address)
        scope.setdefault(COUNTED_BY_KEY, []).append((limit, subject))

    def _refused(self, limit: RateLimit, refusal: Refusal, address: str) -> ProblemError:
        self._refusals.count(_REASONS[limit.name], address)
        wait_s = min(MAX_RETRY_AFTER_S, max(1, math.ceil(refusal.wait_s)))
        detail = f"{_SUBJECTS[limit.name]} has {_EVENTS[limit.name].format(refusal.limit)} within a minute."
        if refusal.redis_is_away:
            detail += " This process admits its share, because Redis does not answer."
        return ProblemError(
            RATE_LIMITED,
            detail,
            headers={
                "Retry-After": str(wait_s),
                "RateLimit-Policy": _policy(limit),
                "RateLimit": f'"{limit.name}";r=0;t={wait_s}',
            },
            policy=limit.name,
            limit=refusal.limit,
            wait_seconds=wait_s,
        )


def with_headers(scope: Scope, send: Send) -> Send:
    """Return a `send` that adds to the response the limits that have counted the request."""
    counted: list[tuple[RateLimit, str]] | None = scope.get(COUNTED_BY_KEY)
    if counted is None:
        return send

    async def send_with_headers(message: Message) -> None:
        """Add the headers to the response."""
        if message["type"] == "http.response.start":
            policies = ", ".join([_policy(limit) for limit, _ in counted])
            left = ", ".join([f'"{limit.name}";r={limit.left(subject)}' for limit, subject in counted])
            message["headers"] = [
                *message["headers"],
                (b"ratelimit-policy", policies.encode("ascii")),
                (b"ratelimit", left.encode("ascii")),
            ]
        await send(message)

    return send_with_headers


def _policy(limit: RateLimit) -> str:
    """Return a limit as in RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10): a quota, a window in seconds."""
    return f'"{limit.name}";q={limit.per_minute};w={WINDOW_S}'
