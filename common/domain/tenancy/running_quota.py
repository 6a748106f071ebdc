"""The quota of running jobs, as one worker process keeps it between two counts of the controller; pure."""

from collections import deque

STEP_S = 0.05  # jobs that end so close together are one change


class RunningJobs:
    """The running jobs of one tenant: those that the controller has counted, and what this process has changed since.

    The places that the count has left are divided between the worker processes. A place that this process makes free is
    its own until the next count.
    """

    __slots__ = ("_changes", "_since", "counted")

    def __init__(self) -> None:
        self.counted = 0  #: by the controller
        self._changes: deque[list[float]] = deque()  # [monotonic seconds, jobs]; less than 0: so many have ended
        self._since = 0  # the jobs of all changes

    def claimed(self, now: float, jobs: int) -> None:
        """Count jobs that this process has claimed."""
        self._changes.append([now, jobs])
        self._since += jobs

    def ended(self, now: float) -> None:
        """Count a job of this process that has ended. Its settle follows: a count may see it as running until then."""
        last = self._changes[-1] if self._changes else None
        if last is not None and last[1] < 0 and now - last[0] < STEP_S:
            last[1] -= 1
        else:
            self._changes.append([now, -1])
        self._since -= 1

    def forget_before(self, time_s: float) -> None:
        """Forget the changes that a count at this time has seen."""
        while self._changes and self._changes[0][0] < time_s:
            self._since -= int(self._changes.popleft()[1])

    def places(self, limit: int, processes: int) -> int:
        """Return how many more jobs this process may claim."""
        left = limit - self.counted
        share = -(-left // max(1, processes)) if left > 0 else left  # rounded up
        return max(0, share - self._since)
