"""The quota of running jobs, as one worker process keeps it between two counts of the controller; pure."""

from collections import deque


class RunningJobs:
    """The running jobs of one tenant: those that the controller has counted, and what this process has changed since.

    The places that the count has left are divided between the worker processes. A place that this process makes free is
    its own until the next count.
    """

    __slots__ = ("_changes", "_since", "_unsettled", "counted")

    def __init__(self) -> None:
        self.counted = 0  #: by the controller
        self._changes: deque[tuple[float, int]] = deque()  # monotonic seconds of the commit, jobs; settled: less than 0
        self._since = 0  # the jobs of all changes
        self._unsettled = 0  # jobs that have ended; the statement with the next claim settles them

    def claimed(self, now: float, jobs: int) -> None:
        """Count jobs that this process has claimed."""
        self._change(now, jobs)

    def ended(self) -> None:
        """Count a job of this process that has ended, or that it gives back."""
        self._unsettled += 1

    def settled(self, now: float) -> None:
        """Take note that all jobs that have ended are settled: a later count does not see them."""
        self._change(now, -self._unsettled)
        self._unsettled = 0

    def _change(self, now: float, jobs: int) -> None:
        self._changes.append((now, jobs))
        self._since += jobs

    def forget_before(self, time_s: float) -> None:
        """Forget the changes that a count at this time has seen."""
        while self._changes and self._changes[0][0] < time_s:
            self._since -= self._changes.popleft()[1]

    def places(self, limit: int, processes: int) -> int:
        """Return how many more jobs this process may claim."""
        left = limit - self.counted
        share = -(-left // max(1, processes)) if left > 0 else left  # rounded up
        return max(0, share - self._since + self._unsettled)
