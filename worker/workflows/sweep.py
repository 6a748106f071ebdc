"""Lets jobs of workflows run, or ends them, where the process that had to ask for them did not."""

import time

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.dependencies import resolve
from common.store.workflows import sweep

MAX_FALLEN = 5_000  # ended jobs of a tenant in one statement
MAX_WAITING = 500  # waiting jobs in one statement, about 10 ms
SLACK_S = 2.0  # so much later may a transaction commit than it ends a job
TICK_SHARE = 0.2  # of a tick, at most


class Sweep:
    """The jobs that wait for others. If a tick has no time for all, the next one goes on behind them."""

    def __init__(self, settings: Settings) -> None:
        self._share_s = TICK_SHARE * settings.tick_seconds
        self._since: str | None = None  # ended jobs have been looked at up to this time
        self._after = sweep.NO_JOB

    def run(self, connection: WorkerConnection) -> int:
        """Ask for the jobs that wait for jobs which have ended without success, then for the next ones of all.

        Returns how many were let run or ended.
        """
        tenants = sweep.tenants(connection)
        if not tenants:
            self._since = None
            return 0
        until = time.monotonic() + self._share_s
        return self._pass_on(connection, tenants, until) + self._sweep(connection, until)

    def _pass_on(self, connection: WorkerConnection, tenants: list[int], until: float) -> int:
        changed, slack_s = 0, SLACK_S
        if self._since is None:
            self._since = sweep.now(connection)
        while time.monotonic() < until:
            fallen, self._since, has_more = sweep.fallen(connection, tenants, self._since, slack_s, MAX_FALLEN)
            if fallen and (heirs := resolve.heirs(connection, fallen)):
                changed += _changed(resolve.resolve(connection, heirs))
            if not has_more:
                break
            slack_s = 0.0
        return changed

    def _sweep(self, connection: WorkerConnection, until: float) -> int:
        changed = 0
        while True:
            ids = sweep.waiting(connection, self._after, MAX_WAITING)
            if ids:
                changed += _changed(resolve.resolve(connection, ids))
            self._after = ids[-1] if len(ids) == MAX_WAITING else sweep.NO_JOB
            if self._after == sweep.NO_JOB or time.monotonic() >= until:
                return changed


def _changed(resolved: resolve.Resolved) -> int:
    return sum(resolved.unblocked.values()) + len(resolved.ended)
