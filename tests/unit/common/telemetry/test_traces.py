"""When there are traces, and what a traceparent says."""

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
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", *traces.ENDPOINT_VARIABLES):
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
def test_a_valid_traceparent_names_a_span_and_says_whether_it_is_sampled(traceparent: str, sampled: bool) -> None:
    found = traces.context(traceparent)
    assert found is not None
    assert (f"{found.trace_id:032x}", f"{found.span_id:016x}", found.is_remote) == (TRACE, SPAN, True)
    assert bool(found.trace_flags.sampled) is sampled
    assert (traces.context(traceparent, only_sampled=True) is not None) is sampled
    assert traces.traceparent(found) == f"00-{TRACE}-{SPAN}-0{int(sampled)}"


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
def test_an_invalid_traceparent_is_as_good_as_none(traceparent: str | None) -> None:
    assert traces.context(traceparent) is None
    assert traces.context(traceparent, only_sampled=True) is None


@pytest.mark.parametrize("endpoint", traces.ENDPOINT_VARIABLES)
def test_an_endpoint_switches_traces_on(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not traces.enabled()
    monkeypatch.setenv(endpoint, " ")
    assert not traces.enabled()
    monkeypatch.setenv(endpoint, "http://collector:4318")
    assert traces.enabled()


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none")])
def test_the_standard_switches_switch_them_off(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://collector:4318")
    monkeypatch.setenv(name, value)
    assert not traces.enabled()


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "carrier-pigeon")],
)
def test_what_cannot_be_done_stops_the_start_and_names_the_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://collector:4318")
    monkeypatch.setenv(name, value)
    with pytest.raises(StartupError, match=value):
        traces.enabled()


# fastapi imports opentelemetry's interface of itself; its SDK is nobody's but ours.
@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("common.telemetry.logs", "opentelemetry"),
        ("api.app", "opentelemetry.sdk opentelemetry.exporter grpc google psutil"),
        ("worker.app", "opentelemetry.sdk opentelemetry.exporter grpc google psutil"),
    ],
)
def test_without_an_endpoint_nothing_of_tracing_is_imported(part: str, names: str) -> None:
    code = f"""
import sys
import {part}
from common.settings import Settings
from common.telemetry import logs, traces
logs.configure(Settings.from_env({{"DATABASE_URL": "postgresql://x@127.0.0.1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}}), "test")
traces.configure("test")
traces.close()
logs.get("test").error("starting")
assert traces.tracer is None
print([name for name in sys.modules if f"{{name}}.".startswith({tuple(f"{name}." for name in names.split())})])
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("[]\n", 0), ran.stderr
