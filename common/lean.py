"""redis-py without OpenTelemetry's SDK, which it imports for metrics of its own wherever it is installed: 3 MiB of each process."""

import sys

_SDK = "opentelemetry.sdk.metrics"
_hide = _SDK not in sys.modules
if _hide:
    sys.modules[_SDK] = None  # type: ignore[assignment]  # an import of it fails
try:
    import redis as redis  # noqa: PLC0414 - it is for others
finally:
    if _hide:
        del sys.modules[_SDK]
