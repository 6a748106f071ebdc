"""Samples, taken all through a run, of the oldest due job and of the worker processes that are idle."""

from collections.abc import Callable

import psycopg2
from rig.background import BackgroundThread
from rig.system import Database

from faults.evidence import Sample
from faults.history import now_s

SAMPLE_INTERVAL_S = 0.1
# Due jobs are compared only with idle processes that can run them, and those processes only with such jobs.
_SAMPLE = """
WITH due AS (SELECT min(claimable_at) AS claimable_at, needs FROM live
             WHERE worker IS NULL AND claimable_at <= now()
               AND NOT EXISTS (SELECT FROM queue_policies p WHERE p.tenant = live.tenant AND p.in_force)
             GROUP BY needs),
idle AS (SELECT w.id, w.operations FROM workers w
         WHERE w.ended_at IS NULL AND w.held_jobs = 0 AND w.alive_until > now() + %s * interval '1 s'
           AND w.pid <> ALL (%s::int[])
           AND NOT EXISTS (SELECT FROM live l WHERE l.worker = w.id)),
met AS (SELECT idle.id, due.claimable_at FROM idle JOIN due ON due.needs IS NULL OR due.needs = ANY (idle.operations))
SELECT coalesce(extract(epoch FROM now() - (SELECT min(claimable_at) FROM met)), 0)::float8,
       ARRAY(SELECT DISTINCT id FROM met)
"""


class IdleWatch(BackgroundThread):
    """A thread with its own connection. While PostgreSQL is unavailable its samples are empty."""

    def __init__(self, url: str, fresh_s: float, ending: Callable[[], list[int]]) -> None:
        """Count a process as idle only if its lease lasts for `fresh_s` more: it is neither frozen nor dead.

        `ending` returns the pids of those that were told to end.
        """
        super().__init__()
        self._fresh_s = fresh_s
        self._ending = ending
        self.samples: list[Sample] = []
        self._database = Database(url)

    def _run(self) -> None:
        while not self._done.wait(SAMPLE_INTERVAL_S):
            self.samples.append(self._sample())
        self._database.close()

    def _sample(self) -> Sample:
        try:
            due_s, idle = self._database.rows(_SAMPLE, (self._fresh_s, self._ending()))[0]
        except psycopg2.Error:
            self._database.close()
            return Sample(now_s(), 0.0, frozenset())
        return Sample(now_s(), due_s, frozenset(idle))
