"""Retries: which failures a repeated request may mend, and how long to wait before it."""

from collections.abc import Callable
from dataclasses import dataclass

from jobproc.client.connection.request import Request, Response
from jobproc.client.connection.steps import Lost
from jobproc.client.errors import retry_after

TOO_MANY_REQUESTS, BAD_GATEWAY, UNAVAILABLE, GATEWAY_TIMEOUT = 429, 502, 503, 504
#: Responses of a server that has done nothing with the request.
_REFUSED = {TOO_MANY_REQUESTS, UNAVAILABLE}
#: Responses of a proxy that does not know what became of the request.
_UNKNOWN = {BAD_GATEWAY, GATEWAY_TIMEOUT}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of the repetitions of a request."""

    max_tries: int = 5
    base_s: float = 0.2  #: the first pause is at most this long, each further one at most twice as long
    cap_s: float = 10.0  #: longest pause, unless the response names another one
    total_s: float = 60.0  #: no repetition begins later than this


class Tries:
    """The tries of one request."""

    def __init__(self, policy: RetryPolicy, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        """`clock`: seconds, monotonic. `chance`: numbers from 0 to 1."""
        self._policy, self._clock, self._chance = policy, clock, chance
        self._ends_at = clock() + policy.total_s
        self._tries = 0

    def pause_after(self, request: Request[object], outcome: Response | Lost) -> float | None:
        """Return the seconds to wait before the next try; None: there is none."""
        self._tries += 1
        if self._tries >= self._policy.max_tries or not _may_repeat(request, outcome):
            return None
        ceiling = min(self._policy.cap_s, self._policy.base_s * 2 ** (self._tries - 1))
        pause = ceiling * self._chance()
        if isinstance(outcome, Response) and (named := retry_after(outcome.headers)) is not None:
            pause += named  # spread out: the server tells many clients the same
        return pause if self._clock() + pause < self._ends_at else None


def _may_repeat(request: Request[object], outcome: Response | Lost) -> bool:
    if isinstance(outcome, Lost):
        return request.is_repeatable or not outcome.was_sent
    return outcome.status in _REFUSED or (outcome.status in _UNKNOWN and request.is_repeatable)
