"""A look, again and again all through a run, at the oldest due job and at the processes that have nothing to do."""

import psycopg2
from rig.background import Beside
from rig.system import Database

from faults.evidence import Look
from faults.history import now_s

EVERY_S = 0.1
# Of what is due, only what one of the idle ones can run, and of those only who can.
_LOOK = """
WITH due AS (SELECT min(pos) AS pos, needs FROM live WHERE worker IS NULL AND pos <= now() GROUP BY needs),
idle AS (SELECT w.id, w.operations FROM workers w
         WHERE w.ended_at IS NULL AND w.busy = 0 AND w.alive_until > now() + %s * interval '1 s'
           AND NOT EXISTS (SELECT FROM live l WHERE l.worker = w.id)),
met AS (SELECT idle.id, due.pos FROM idle JOIN due ON due.needs IS NULL OR due.needs = ANY (idle.operations))
SELECT coalesce(extract(epoch FROM now() - (SELECT min(pos) FROM met)), 0)::float8, ARRAY(SELECT DISTINCT id FROM met)
"""


class Watch(Beside):
    """A thread with a connection of its own. What it cannot see, while PostgreSQL is away, is one look with nothing in it."""

    def __init__(self, url: str, fresh_s: float) -> None:
        """`fresh_s`: a process whose lease lasts for so long yet was heard of a moment ago, so it is neither frozen nor dead."""
        super().__init__()
        self._fresh_s = fresh_s
        self.looks: list[Look] = []
        self._database = Database(url)

    def _run(self) -> None:
        while not self._done.wait(EVERY_S):
            self.looks.append(self._look())
        self._database.close()

    def _look(self) -> Look:
        try:
            due_s, idle = self._database.rows(_LOOK, (self._fresh_s,))[0]
        except psycopg2.Error:
            self._database.close()
            return Look(now_s(), 0.0, frozenset())
        return Look(now_s(), due_s, frozenset(idle))
