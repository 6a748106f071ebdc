"""Fair share between tenants: whose jobs a process takes next, and how many; pure.

Start-time fair queueing: each tenant has a count of the seconds that it has had, divided by its weight. The tenants
with the lowest counts are served next. A tenant that comes begins at the lowest count of those that wait: it is served
next, and has no credit for the time in which it wanted nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from heapq import nsmallest

MAX_TURNS = 16  # tenants in one claim; each costs it 25 us, and the others come next
UNKNOWN_JOB_S = 0.001  # how long a job of a tenant takes until one was measured
SHORTEST_JOB_S = 0.00005  # what any job takes, with its claim and settle
MEAN_WEIGHT = 0.1  # of the newest job in the running mean
AHEAD_S = 1e-9  # who comes is served before those that wait with the same count


class FairShare:
    """A count of what each tenant has had of one process in one queue. Work-conserving: who is alone gets all."""

    def __init__(self, weights: Mapping[int, float] | None = None) -> None:
        """`weights`: of the tenants whose weight is not 1; read at each use."""
        self.weights: Mapping[int, float] = {} if weights is None else weights
        self._served: dict[int, float] = {}  # seconds over weight; less than `_least`: as `_least`
        self._job_s: dict[int, float] = {}
        self._least = 0.0

    def forget(self) -> None:
        """Forget what everyone has had: nobody waits."""
        self._served.clear()

    def turns(
        self, waiting: Iterable[int], jobs: int, places: Callable[[int], int | None] = lambda _: None
    ) -> list[tuple[int, int]]:
        """Return the tenants of the next claim of `jobs` jobs, and the most that it may take of each.

        `places`: how many jobs of a tenant may begin to run; None: any number.
        The shares even out what the tenants have had, as far as one claim can. The last one may have all the jobs,
        because the others may have fewer than their share.
        """
        served = {tenant: self._served.get(tenant, self._least - AHEAD_S) for tenant in waiting}
        turns = nsmallest(MAX_TURNS, served, key=served.__getitem__)
        if not turns:
            return []
        self._least = max(self._least, served[turns[0]])
        starts = [max(served[tenant], self._least) for tenant in turns]
        rates = [self._weight(tenant) / self._job_s.get(tenant, UNKNOWN_JOB_S) for tenant in turns]
        level = _level(starts, rates, jobs)
        shares = [
            max(1, round(rate * (level - start))) if start < level else jobs
            for start, rate in zip(starts, rates, strict=True)
        ]
        shares[-1] = jobs
        limits = map(places, turns)
        return [
            (tenant, share if limit is None else min(share, limit))
            for tenant, share, limit in zip(turns, shares, limits, strict=True)
        ]

    def claimed(self, tenant: int, jobs: int) -> None:
        """Count jobs that a claim has taken as what they will probably be."""
        self._add(tenant, jobs * self._job_s.get(tenant, UNKNOWN_JOB_S))

    def ran(self, tenant: int, seconds: float) -> None:
        """Count a claimed job, which has ended, as what it was."""
        expected = self._job_s.get(tenant)
        seconds = max(seconds, SHORTEST_JOB_S)
        self._add(tenant, seconds - (UNKNOWN_JOB_S if expected is None else expected))
        self._job_s[tenant] = seconds if expected is None else expected + MEAN_WEIGHT * (seconds - expected)

    def alone(self, tenant: int) -> None:
        """Take note that one tenant alone waits: what it gets now is no debt to those who come later."""
        self._least = max(self._least, self._served.get(tenant, 0.0))
        if len(self._served) > 1:
            self._served = {one: served for one, served in self._served.items() if served > self._least}

    def _add(self, tenant: int, seconds: float) -> None:
        self._served[tenant] = max(self._served.get(tenant, 0.0), self._least) + seconds / self._weight(tenant)

    def _weight(self, tenant: int) -> float:
        return self.weights.get(tenant, 1.0)


def _level(starts: list[float], rates: list[float], jobs: int) -> float:
    """Return the count to which `jobs` jobs bring those below it. `starts`: sorted; `rates`: jobs for a count of 1."""
    rate, area, level = 0.0, 0.0, 0.0
    for number, start in enumerate(starts):
        if number and start >= level:
            break
        rate += rates[number]
        area += rates[number] * start
        level = (jobs + area) / rate
    return level
