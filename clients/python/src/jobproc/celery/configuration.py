"""The client by which tasks are submitted and results are read, and the order of priorities."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobproc.client import Client


@dataclass(slots=True)
class _Configuration:
    client: "Client | None" = None
    zero_is_first: bool = False


_configuration = _Configuration()


def configure(*, client: "Client | None" = None, zero_is_first: bool | None = None) -> None:
    """Change how this process submits tasks. What is not given stays.

    `client`: default: that of the environment and the profile. `zero_is_first`: True: priorities are as with Celery on
    Redis, where 0 runs first; False, the default: as with RabbitMQ, where 9 does.
    """
    if client is not None:
        _configuration.client = client
    if zero_is_first is not None:
        _configuration.zero_is_first = zero_is_first


def client_in_use() -> "Client":
    """Return the client. It is imported here: a worker may do without it."""
    if _configuration.client is not None:
        return _configuration.client
    from jobproc.client.remote import default_client

    return default_client()


def zero_is_first() -> bool:
    """Return True if priority 0 runs first, as with Celery on Redis."""
    return _configuration.zero_is_first
