"""Redis clients, every wait of them bounded by the settings; and redis-py without OpenTelemetry's SDK.

redis-py imports that SDK for metrics of its own wherever it is installed: 3 MiB of each process.
"""

import sys
from typing import Any

from common.settings import Settings

_SDK = "opentelemetry.sdk.metrics"
_hide = _SDK not in sys.modules
if _hide:
    sys.modules[_SDK] = None  # type: ignore[assignment]  # an import of it fails
try:
    import redis as redis  # noqa: PLC0414 - it is for others
finally:
    if _hide:
        del sys.modules[_SDK]


def async_client(settings: Settings) -> redis.asyncio.Redis:
    """Return the API's client; every wait of it is bounded by the settings."""
    return redis.asyncio.Redis.from_url(settings.redis_url, **client_options(settings), max_connections=20)


def subscriber_client(settings: Settings) -> redis.asyncio.Redis:
    """Return the client of one who listens and looks after its connection itself: it neither asks whether Redis is well nor tries again."""
    options = client_options(settings) | {"health_check_interval": 0}
    return redis.asyncio.Redis.from_url(settings.redis_url, **options, retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0))


def retry_once() -> redis.retry.Retry:
    """Return a policy that tries a command once more on a new connection."""
    return redis.retry.Retry(redis.backoff.NoBackoff(), 1, supported_errors=(redis.ConnectionError,))


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the options that all clients share."""
    seconds = settings.redis_timeout_seconds
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds, "socket_keepalive": True, "health_check_interval": 10}
