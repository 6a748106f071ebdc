"""When tracing is on, and how a traceparent is read."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.domain.errors import StartupError
from common.telemetry import traces

ROOT = Path(__file__).resolve().parents[4]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OTEL_SDK_DISABLED",
        "OTEL_TRACES_EXPORTER",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        *traces.ENDPOINT_VARIABLES,
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("traceparent", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-02", False),
        (f"01-{TRACE}-{SPAN}-01-of-a-later-version", True),
    ],
)
def test_a_valid_traceparent_names_a_span_and_its_sampling(traceparent: str, sampled: bool) -> None:
    span = traces.context(traceparent)
    assert span is not None
    assert (f"{span.trace_id:032x}", f"{span.span_id:016x}", span.is_remote) == (TRACE, SPAN, True)
    assert bool(span.trace_flags.sampled) is sampled
    assert (traces.context(traceparent, only_sampled=True) is not None) is sampled
    assert traces.traceparent(span) == f"00-{TRACE}-{SPAN}-0{int(sampled)}"


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
    ],
)
def test_an_invalid_traceparent_counts_as_none(traceparent: str | None) -> None:
    assert traces.context(traceparent) is None
    assert traces.context(traceparent, only_sampled=True) is None


@pytest.mark.parametrize("endpoint", traces.ENDPOINT_VARIABLES)
def test_an_endpoint_switches_tracing_on(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not traces.enabled()
    monkeypatch.setenv(endpoint, " ")
    assert not traces.enabled()
    monkeypatch.setenv(endpoint, "http://collector:4318")
    assert traces.enabled()


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none")])
def test_the_standard_variables_switch_tracing_off(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://collector:4318")
    monkeypatch.setenv(name, value)
    assert not traces.enabled()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "carrier-pigeon"),
    ],
)
def test_an_unsupported_exporter_stops_the_start_with_its_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://collector:4318")
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match=value):
        traces.enabled()


# fastapi imports opentelemetry's API by itself; only jobproc imports the SDK.
@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("common.telemetry.logs", "opentelemetry"),
        ("api.app", "opentelemetry.sdk opentelemetry.exporter grpc google psutil"),
        ("worker.app", "opentelemetry.sdk opentelemetry.exporter grpc google psutil"),
    ],
)
def test_without_an_endpoint_nothing_of_tracing_is_imported(part: str, names: str) -> None:
    prefixes = tuple(f"{name}." for name in names.split())
    code = f"""
import sys
import {part}
from common.settings import Settings
from common.telemetry import logs, traces
environ = {{"DATABASE_URL": "postgresql://x@127.0.0.1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}}
logs.configure(Settings.from_env(environ), "test")
traces.configure("test")
traces.close()
logs.get("test").error("starting")
assert traces.tracer is None
print([name for name in sys.modules if f"{{name}}.".startswith({prefixes})])
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stdout, result.returncode) == ("[]\n", 0), result.stderr
