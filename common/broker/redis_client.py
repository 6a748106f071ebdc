"""Redis clients whose every wait is bounded by the settings, and redis-py imported without OpenTelemetry's SDK.

redis-py imports that SDK for its own metrics if it is installed, which costs 3 MiB of each process.
"""

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.settings import SecretFileError, Settings

_MISSES_CERTIFICATE = re.compile("closed by server|reset by peer|Broken pipe|EOF|alert", re.IGNORECASE)
_OF_OPENSSL = re.compile(r"\[SSL: \w+\] | \(_ssl\.c:\d+\)")
_SDK = "opentelemetry.sdk.metrics"
_hide = _SDK not in sys.modules
if _hide:
    sys.modules[_SDK] = None  # type: ignore[assignment]  # makes the import fail
try:
    import redis as redis  # noqa: PLC0414 - other modules import it from here
finally:
    if _hide:
        del sys.modules[_SDK]


class RedisLogin(redis.CredentialProvider):
    """The user and the password of Redis, which each new connection asks for: their file may have changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return the arguments of AUTH. Raises redis.AuthenticationError if the file of a secret cannot be used."""
        try:
            user, password = self._settings.current_redis_login()
        except SecretFileError as error:
            raise redis.AuthenticationError(str(error)) from error
        return (user, password or "") if user else (password or "",)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Return the same. Raises as `get_credentials`."""
        return self.get_credentials()


def redis_login(settings: Settings) -> RedisLogin | None:
    """Return what connections log in with; None if Redis asks for no password."""
    server = settings.redis_server
    return RedisLogin(settings) if server.username or server.password else None


def async_client(settings: Settings) -> redis.asyncio.Redis:
    """Return the async client of the API."""
    return redis.asyncio.Redis.from_url(settings.redis_server.url, **client_options(settings), max_connections=20)


@dataclass(frozen=True, slots=True)
class BrokerAnswer:
    """The answer of Redis to a ping on a new connection."""

    seconds: float  #: from the first packet of the connection to the answer
    error: str | None = None  #: why there was none


async def ping(settings: Settings) -> BrokerAnswer:
    """Connect to Redis and ping it. Each step waits for at most JOBPROC_REDIS_TIMEOUT_SECONDS; it raises nothing."""
    client, began_at = subscriber_client(settings), time.monotonic()
    try:
        await client.ping()
    except (redis.RedisError, OSError) as error:
        return BrokerAnswer(time.monotonic() - began_at, reason(error, settings.redis_server.tls))
    else:
        return BrokerAnswer(time.monotonic() - began_at)
    finally:
        await client.aclose()


def subscriber_client(settings: Settings) -> redis.asyncio.Redis:
    """Return a client for a subscriber, without health checks and retries: the subscriber reconnects by itself."""
    options = client_options(settings) | {"health_check_interval": 0}
    return redis.asyncio.Redis.from_url(
        settings.redis_server.url, **options, retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
    )


def reason(error: Exception, tls: Mapping[str, str | bool] | None) -> str:
    """Return why Redis is unavailable, for the log. `tls`: as in RedisServer.

    A server that misses the certificate of a client closes the connection, most often without a word.
    """
    text = _OF_OPENSSL.sub("", " ".join(str(error).split())).rstrip(".") or type(error).__name__
    if tls and "ssl_certfile" not in tls and _MISSES_CERTIFICATE.search(text):
        return f"{text}; Redis may ask for a certificate of the client, and REDIS_URL names none (ssl_certfile)"
    return text


def retry_once() -> redis.retry.Retry:
    """Return a policy that retries a command once, on a new connection."""
    return redis.retry.Retry(redis.backoff.NoBackoff(), 1, supported_errors=(redis.ConnectionError,))


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the options that all clients share."""
    timeout_s = settings.redis_timeout_seconds
    return {
        **(settings.redis_server.tls or {}),
        "credential_provider": redis_login(settings),
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
