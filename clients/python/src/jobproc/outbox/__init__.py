"""Transactional enqueue: jobs are written to a table of the application's own database, in its transaction.

A transaction that is rolled back submits no job, one that is committed submits each job once. Start at `outbox.py`,
which writes the rows; `relay.py` sends them to the API. `table.py` makes the table.
Imports `jobproc` alone; drivers of databases are those that the application brings.
"""

from typing import TYPE_CHECKING, Any

from jobproc.outbox.outbox import Outbox
from jobproc.outbox.table import TABLE, ddl, sqlalchemy_table

if TYPE_CHECKING:
    from jobproc.outbox.relay import Relay
    from jobproc.outbox.settings import RelaySettings

_DEFAULT = Outbox()
submit = _DEFAULT.submit
submit_async = _DEFAULT.submit_async

__all__ = ["TABLE", "Outbox", "Relay", "RelaySettings", "ddl", "sqlalchemy_table", "submit", "submit_async"]


def __getattr__(name: str) -> Any:
    """Import the relay with its first use: an application that writes rows alone needs no client of HTTP."""
    if name == "Relay":
        from jobproc.outbox.relay import Relay

        return Relay
    if name == "RelaySettings":
        from jobproc.outbox.settings import RelaySettings

        return RelaySettings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
