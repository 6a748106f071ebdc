"""How long to wait before the next attempt."""

from dataclasses import dataclass, replace

from common.domain.job import ClaimExtras

MAX_EXPONENT = 62  # 2**62 s is past any cap; a larger one would only risk a float overflow


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How an operation is tried again."""

    max_attempts: int = 3  #: attempts that may be charged to the job, 1 to 1000
    base_s: float = 1.0  #: seconds before the second attempt, before jitter
    cap_s: float = 300.0  #: longest delay in seconds

    def for_job(self, extras: ClaimExtras) -> "RetryPolicy":
        """Return the policy of a job that may have its own backoff."""
        base_s = self.base_s if extras.retry_base_s is None else extras.retry_base_s
        return replace(self, base_s=base_s, cap_s=self.cap_s if extras.retry_cap_s is None else extras.retry_cap_s)

    def delay_s(self, failures: int, jitter: float) -> float:
        """Return the seconds to wait after the given number of failed attempts (1 or more).

        Exponential with equal jitter: between a half and the whole of min(cap, base * 2^(failures-1)). `jitter` is
        uniform in [0, 1). After M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        full = min(self.cap_s, self.base_s * 2.0 ** min(max(failures, 1) - 1, MAX_EXPONENT))
        return full / 2 + full / 2 * jitter


DEFAULT_RETRY = RetryPolicy()  # for operations that this process does not know
