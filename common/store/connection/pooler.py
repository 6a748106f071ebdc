"""What is different through a pooler, for every driver."""

from common.settings import Pooler, Settings


def pooled(settings: Settings) -> bool:
    """Return whether each transaction may be in another session, that of a pooler."""
    return settings.database_pooler is Pooler.TRANSACTION


def application_name(settings: Settings, name: str) -> str:
    """Return the name of a connection. One for all through a pooler: it would set another one with each connection that it lends."""
    return "jobproc" if pooled(settings) else f"jobproc-{name}"
