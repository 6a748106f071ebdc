"""The path under which clients reach the API, if a proxy serves it below a prefix."""

from collections.abc import Mapping
from typing import Any

from api.limits.addresses import ClientAddresses
from common.settings import Settings
from common.settings.api import checked_prefix

HEADER = b"x-forwarded-prefix"


class PathPrefix:
    """Puts the prefix before the paths of requests, and into `root_path`, which responses put before their links.

    A proxy may remove the prefix or leave it in the path. It is that of the setting, or of a trusted proxy's header.
    """

    def __init__(self, settings: Settings) -> None:
        self._default = settings.root_path
        self._proxies = ClientAddresses(settings.trusted_proxies)

    def apply(self, scope: Any, headers: Mapping[bytes, bytes]) -> None:
        """Complete the scope of a request."""
        prefix = self._default
        if HEADER in headers and (forwarded := self._forwarded(scope, headers[HEADER])) is not None:
            prefix = forwarded
        if prefix:
            scope["root_path"] = prefix
            path = scope["path"]
            if path != prefix and not path.startswith(f"{prefix}/"):
                scope["path"] = prefix + path

    def _forwarded(self, scope: Any, value: bytes) -> str | None:
        """Return the prefix in a header, outermost proxy first; None if it is invalid, or its sender not trusted."""
        client = scope.get("client")
        if client is None or not self._proxies.is_trusted(client[0]):
            return None
        try:
            return checked_prefix("".join(part.strip().rstrip("/") for part in value.decode("latin-1").split(",")))
        except ValueError:
            return None


def root_path(scope: Mapping[str, Any]) -> str:
    """Return the prefix of the links in the response to a request."""
    prefix: str = scope.get("root_path", "")
    return prefix
