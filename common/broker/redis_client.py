"""Redis clients whose every wait is bounded by the settings, and redis-py imported without OpenTelemetry's SDK.

redis-py imports that SDK for its own metrics if it is installed, which costs 3 MiB of each process.
"""

import sys
from typing import Any

from common.settings import Settings

_SDK = "opentelemetry.sdk.metrics"
_hide = _SDK not in sys.modules
if _hide:
    sys.modules[_SDK] = None  # type: ignore[assignment]  # makes the import fail
try:
    import redis as redis  # noqa: PLC0414 - other modules import it from here
finally:
    if _hide:
        del sys.modules[_SDK]


def async_client(settings: Settings) -> redis.asyncio.Redis:
    """Return the async client of the API."""
    return redis.asyncio.Redis.from_url(settings.redis_server.url, **client_options(settings), max_connections=20)


def subscriber_client(settings: Settings) -> redis.asyncio.Redis:
    """Return a client for a subscriber, without health checks and retries: the subscriber reconnects by itself."""
    options = client_options(settings) | {"health_check_interval": 0}
    return redis.asyncio.Redis.from_url(
        settings.redis_server.url, **options, retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
    )


def retry_once() -> redis.retry.Retry:
    """Return a policy that retries a command once, on a new connection."""
    return redis.retry.Retry(redis.backoff.NoBackoff(), 1, supported_errors=(redis.ConnectionError,))


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the options that all clients share."""
    timeout_s = settings.redis_timeout_seconds
    return {
        **(settings.redis_server.tls or {}),
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
