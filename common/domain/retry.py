"""Exponential backoff: the delay before the next attempt."""

from dataclasses import dataclass, replace

from common.domain.job import ClaimExtras

MAX_EXPONENT = 62  # 2**62 s exceeds any cap; a larger exponent would only risk a float overflow


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retries of an operation's jobs."""

    max_attempts: int = 3  #: attempts that may be charged to a job, 1 to 1000
    base_s: float = 1.0  #: delay in seconds before the second attempt, without jitter
    cap_s: float = 300.0  #: longest delay in seconds

    def for_job(self, extras: ClaimExtras) -> "RetryPolicy":
        """Return the policy of a job: its own backoff where it has one, else this one."""
        base_s = self.base_s if extras.retry_base_s is None else extras.retry_base_s
        return replace(self, base_s=base_s, cap_s=self.cap_s if extras.retry_cap_s is None else extras.retry_cap_s)

    def delay_s(self, failures: int, jitter: float) -> float:
        """Return the delay in seconds after the given number of failed attempts (1 or more).

        Exponential backoff with equal jitter: between a half and the whole of min(cap, base * 2^(failures-1)).
        `jitter` is uniform in [0, 1). See M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        full = min(self.cap_s, self.base_s * 2.0 ** min(max(failures, 1) - 1, MAX_EXPONENT))
        return full / 2 + full / 2 * jitter


DEFAULT_RETRY = RetryPolicy()  # for jobs of operations that this process does not know
