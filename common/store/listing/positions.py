"""Positions of the jobs of a list, without their rows: which jobs it has gained."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from common.domain.job_search import JobSearch, ListPosition, Order
from common.store.connection.statement import SET_INDEX_SCAN_PLANS
from common.store.listing.index_scan import LAST_SCANNED, PAGE_STATEMENTS, ScanLimits, scan_arguments
from common.store.tenancy.only_tenant import is_indexed

_POSITIONS = f"""
SELECT p.n, p.id, p.at, true FROM page p
UNION ALL
SELECT l.n, l.id, l.at, false {LAST_SCANNED}
"""
POSITIONS = {key: statement + _POSITIONS for key, statement in PAGE_STATEMENTS.items()}
_FIRST_ID, _LAST_ID, _FINISHED_AFTER, _FINISHED_BEFORE = 0, 1, 6, 7  # places of arguments
_RESOLUTION = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ListSpan:
    """The jobs of a list between two positions, in its order."""

    positions: list[ListPosition]
    has_more: bool  #: a limit ended the scan


def span(
    connection: Connection,
    tenant: int,
    search: JobSearch,
    bounds: tuple[ListPosition | None, ListPosition | None],
    limits: ScanLimits,
) -> ListSpan:
    """Return the positions of a tenant's jobs behind the first bound, None: from the start, up to the second one.

    The second bound itself is included; None: to the end of the list. Needs a transaction.
    """
    after, until = bounds
    arguments: list[Any] = list(scan_arguments(tenant, search, after, limits))
    if until is not None:
        _end_at(arguments, search, until)
    connection.exec_driver_sql(SET_INDEX_SCAN_PLANS)
    statement = POSITIONS[search.index, search.descending, is_indexed(tenant)]
    rows = connection.exec_driver_sql(statement, tuple(arguments)).all()
    matching = [ListPosition(row[1], row[2]) for row in rows if row[3]]
    was_ended = len(matching) > limits.jobs or any(row[0] == limits.scanned for row in rows if not row[3])
    return ListSpan(matching[: limits.jobs], was_ended)


def _end_at(arguments: list[Any], search: JobSearch, until: ListPosition) -> None:
    """Let the scan end at a position."""
    if search.order is Order.FINISHED:
        assert until.finished_at is not None  # noqa: S101 - a position of this order has it
        if search.descending:
            arguments[_FINISHED_AFTER] = max(arguments[_FINISHED_AFTER], until.finished_at)
        else:
            end = until.finished_at + _RESOLUTION
            arguments[_FINISHED_BEFORE] = min(arguments[_FINISHED_BEFORE], end)
    elif search.descending:
        arguments[_FIRST_ID] = max(arguments[_FIRST_ID], until.job_id)
    else:
        arguments[_LAST_ID] = min(arguments[_LAST_ID], until.job_id)
