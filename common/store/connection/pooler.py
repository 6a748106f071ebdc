"""Differences of a connection through a pooler, for every driver."""

from common.settings import Pooler, Settings

#: Sent with each transaction of workers and controllers; without a pooler a session has both from its start. Statements
#: expect to see what others have committed before they got a row's lock, and times as text as ISO 8601 has them.
TRANSACTION_SETTINGS = {"transaction_isolation": "'read committed'", "datestyle": "'ISO, MDY'"}


def pooled(settings: Settings) -> bool:
    """Return True if a pooler may run each transaction in another session."""
    return settings.database_pooler is Pooler.TRANSACTION


def application_name(settings: Settings, name: str) -> str:
    """Return a connection's name for pg_stat_activity.

    Through a pooler all have one name: otherwise the pooler would set it again with each connection that it lends.
    """
    prefix = settings.database_server.parameters.get("application_name", "jobproc")
    return prefix if pooled(settings) else f"{prefix}-{name}"
