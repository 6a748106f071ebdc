"""Which queues are followed: the triggers of `live` are made from the policies of the queues.

A trigger is created under a lock that no writer of `live` holds, so the feed begins exactly: each change whose
transaction commits after the switch is recorded. The lock is asked for before that of the policy's row, as a claim
under policies does, and given up soon: writers wait behind it meanwhile.
"""

from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import DBAPIError

from common.domain.errors import FeedNotSwitched, TooManyFollowedQueues
from common.domain.tenancy.queue_policies import MAX_FOLLOWED_QUEUES

LOCK_TIMEOUT_MS = 100
_LIMIT_WAIT = text(f"SELECT set_config('lock_timeout', '{LOCK_TIMEOUT_MS}', true)")
_LOCK = text("LOCK TABLE live IN SHARE ROW EXCLUSIVE MODE")
_SET = text("SELECT set_followed_queues()")
_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"


def lock(connection: Connection) -> None:
    """Wait until nobody writes to `live`, and keep writers off until the transaction ends. Raises FeedNotSwitched."""
    _run(connection, _LIMIT_WAIT)
    _run(connection, _LOCK)


def apply(connection: Connection) -> None:
    """Follow the queues whose policies say so. Raises FeedNotSwitched or TooManyFollowedQueues."""
    if _run(connection, _SET).scalar_one() > MAX_FOLLOWED_QUEUES:
        raise TooManyFollowedQueues


def _run(connection: Connection, statement: TextClause) -> CursorResult[Any]:
    try:
        return connection.execute(statement)
    except DBAPIError as error:
        code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        if code in (_LOCK_NOT_AVAILABLE, _DEADLOCK):
            raise FeedNotSwitched from error
        raise
