"""What PostgreSQL has refused as a batch is stored row by row: one bad row must not take its neighbours down."""

from collections.abc import Callable

import psycopg2

from common.domain.decisions import Ended, Fail, Failure
from common.domain.job import Claimed
from common.store import claims, endings
from common.store.claims import Results
from common.store.session import AWAY
from worker.ended import Endings
from worker.holder import Holder
from worker.run import printable


def store(holder: Holder, ended: Endings, most_characters: int) -> int:
    """Store each alone; the bad one fails with a code and the reason, cut to so many characters. Returns how many were fenced.

    Raises what is in AWAY; what had been stored by then stays.
    """
    fenced = 0
    for job, text, run_s in ended.results.each():
        one = Results()
        one.add(job, text, run_s)
        fenced += not _or_fail(holder, job, lambda one=one: claims.settle(holder.hot, holder.worker, one), most_characters)  # type: ignore[misc]  # a default binds it
    for pair in ended.decided:
        fenced += not _or_fail(holder, pair[0], lambda pair=pair: endings.write(holder.hot, holder.worker, [pair]), most_characters)  # type: ignore[misc]  # as above
    return fenced


def _or_fail(holder: Holder, job: Claimed, write: Callable[[], set[str]], most_characters: int) -> set[str]:
    try:
        return write()
    except AWAY:
        raise
    except psycopg2.Error as refused:
        reason = printable(str(refused).strip(), most_characters)
        return endings.write(holder.hot, holder.worker, [(job, Fail(Failure(Ended.PERMANENT, "result_not_stored", reason)))])
