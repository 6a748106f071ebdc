"""Unit tests reach no network and see no settings but their own."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from common import failpoints
from common.telemetry import traces

if TYPE_CHECKING:  # not imported for the many tests that trace nothing
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every connection fail but those between processes of this machine by AF_UNIX."""
    for name in ("connect", "connect_ex"):
        real = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any, real: Any = real) -> Any:
            if self.family != socket.AF_UNIX:
                raise AssertionError(f"a unit test connects to {address!r}")
            return real(self, address)

        monkeypatch.setattr(socket.socket, name, connect)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment without a setting, in an empty folder; no failpoint is left set."""
    for name in os.environ:
        if name.startswith("JOBPROC_") or name in {"DATABASE_URL", "REDIS_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield monkeypatch
    failpoints.arm("")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator["InMemorySpanExporter"]:
    """Trace in this process; the spans that have ended are kept here."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()
