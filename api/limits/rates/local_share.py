"""The share of a rate limit that one process admits while Redis is away."""

from api.limits.rates.shared_windows import WINDOW_S


class LocalShare:
    """A bucket that holds the share of a minute, and is refilled at its rate. Large amounts go on credit."""

    __slots__ = ("_refilled_at", "_tokens")

    def __init__(self, share: int, now: float) -> None:
        self._tokens, self._refilled_at = float(share), now

    def take(self, amount: int, share: int, now: float) -> float:
        """Take `amount` events of `share` a minute; return 0, or the seconds to wait if they are refused."""
        self._tokens = min(float(share), self._tokens + (now - self._refilled_at) * share / WINDOW_S)
        self._refilled_at = now
        needed = min(amount, share)  # of an empty bucket no more than its size is asked
        if self._tokens >= needed:
            self._tokens -= amount
            return 0.0
        return (needed - self._tokens) * WINDOW_S / share
