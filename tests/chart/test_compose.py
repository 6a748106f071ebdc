"""compose.yaml: what it says, what Docker Compose makes of it, and, where a Docker engine answers, that it comes up and runs a job."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # its types are no dependency of ours
from rig.system import until

from common.settings import Settings, name_of
from common.telemetry.traces import ENDPOINT_VARIABLES
from tools.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = ("api", "migrate", "worker", "controller")
SERVERS = ("postgres", "redis")
WATCHERS = ("prometheus", "jaeger", "grafana")  # of the profile `observability`
UP_S = 900


def test_it_has_every_part_and_both_servers() -> None:
    assert set(SERVICES) == {*OURS, *SERVERS, *WATCHERS}
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["observability"]} == set(WATCHERS)
    assert {name: SERVICES[name]["image"] for name in SERVERS} == {"postgres": "postgres:18", "redis": "redis:8"}
    assert {name: SERVICES[name]["build"]["dockerfile"] for name in OURS} == {
        "api": "Dockerfile.api",
        "migrate": "Dockerfile.api",
        "worker": "Dockerfile.worker",
        "controller": "Dockerfile.worker",
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"]
    assert service["logging"] == {"driver": "local"}, "logs are bounded"
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert name in OURS or re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), "our images have a user of their own"


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_of_the_host_is_mounted(name: str) -> None:
    sources = [volume.partition(":")[0] for volume in SERVICES[name].get("volumes", [])]
    assert set(sources) <= set(FILE["volumes"])


def test_only_the_api_can_be_reached_and_from_this_machine_only() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"api", *WATCHERS}
    assert SERVICES["api"]["ports"] == ["${BIND:-127.0.0.1}:${PORT:-8000}:8000"]
    assert all(port.startswith("127.0.0.1:") for name in WATCHERS for port in SERVICES[name]["ports"])


def test_the_parts_wait_for_a_migrated_database_and_the_workers_for_redis() -> None:
    waits = {name: {on: what["condition"] for on, what in service.get("depends_on", {}).items()} for name, service in SERVICES.items()}
    migrated, redis = {"migrate": "service_completed_successfully"}, {"redis": "service_healthy"}
    assert waits["migrate"] == {"postgres": "service_healthy"}
    assert waits["api"] == migrated, "submissions need no Redis"
    assert waits["worker"] == waits["controller"] == migrated | redis


@pytest.mark.parametrize("name", SERVICES)
def test_what_ends_is_started_again_but_a_migration(name: str) -> None:
    once = name == "migrate"
    assert SERVICES[name]["restart"] == ("no" if once else "unless-stopped")
    assert ("healthcheck" in SERVICES[name]) is (not once and name not in WATCHERS)


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_a_module_of_its_image(name: str) -> None:
    """The images begin with `python -m`."""
    command = SERVICES[name].get("command", ["api"])
    folder = SERVICES[name]["build"]["dockerfile"].removeprefix("Dockerfile.")
    module = Path(*command[0].split("."))
    assert module.parts[0] in {folder, "common"}
    assert (ROOT / module.with_suffix(".py")).exists() or (ROOT / module / "__main__.py").exists()
    assert "entrypoint" not in SERVICES[name]


@pytest.mark.parametrize("name", OURS)
def test_settings_exist_and_come_from_the_environment_or_an_optional_file(name: str) -> None:
    settings = SERVICES[name]["environment"]
    assert set(settings) - {ENDPOINT_VARIABLES[1]} <= {name_of(field) for field in Settings.model_fields}
    assert settings["DATABASE_URL"].startswith("${DATABASE_URL:-postgresql://")
    assert settings["REDIS_URL"].startswith("${REDIS_URL:-redis://")
    assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]


@pytest.mark.parametrize("name", OURS)
def test_the_grace_ends_before_the_container_is_killed(name: str) -> None:
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > Settings.model_fields["grace_seconds"].default


# --- the profile `observability`


def test_every_dashboard_and_alert_of_the_chart_is_in_the_profile() -> None:
    given = {FILE["configs"][one["source"]].get("file") for name in WATCHERS for one in SERVICES[name].get("configs", [])} - {None}
    assert given == {str(path.relative_to(ROOT)) for kind in ("dashboards", "alerts") for path in (ROOT / "charts" / "jobproc" / kind).iterdir()}


def test_prometheus_understands_its_configuration(tmp_path: Path) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    for name in ("service", "workers", "database", "autoscaling"):
        shutil.copy(ROOT / "charts" / "jobproc" / "alerts" / f"{name}.yaml", tmp_path)
    (tmp_path / "prometheus.yml").write_text(FILE["configs"]["prometheus"]["content"].replace("/etc/prometheus/alerts", str(tmp_path)))
    done = subprocess.run(["promtool", "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.count("rules found") == 4, "in four files"


def test_it_scrapes_every_part_that_has_metrics() -> None:
    (job,) = yaml.safe_load(FILE["configs"]["prometheus"]["content"])["scrape_configs"]
    (by_name,) = job["dns_sd_configs"]
    assert set(by_name["names"]) == {name for name in OURS if name != "migrate"}
    assert all(SERVICES[name]["environment"]["JOBPROC_METRICS_PORT"] == str(by_name["port"]) for name in by_name["names"])


def test_traces_go_where_the_page_says() -> None:
    told = re.search(r"OTEL_EXPORTER_OTLP_ENDPOINT=http://([a-z]+):(\d+) docker compose", (ROOT / "docs" / "howto" / "observe.md").read_text())
    assert told
    assert (told[1], told[2]) == ("jaeger", "4318"), "the port of OTLP over HTTP"
    assert SERVICES["jaeger"]["environment"] == {"JAEGER_LISTEN_HOST": "0.0.0.0"}, "its default is the container alone"  # noqa: S104 - read, not bound


def test_a_point_of_a_histogram_leads_to_its_trace() -> None:
    prometheus, jaeger = yaml.safe_load(FILE["configs"]["grafana-sources"]["content"])["datasources"]
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]
    assert prometheus["jsonData"] == {"exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": jaeger["uid"]}]}
    assert (jaeger["type"], jaeger["url"]) == ("jaeger", "http://jaeger:16686")


# --- what Docker Compose makes of it


@pytest.fixture
def rendered(tmp_path: Path) -> Callable[..., dict[str, dict[str, Any]]]:
    """Return the services as Docker Compose reads them, with these variables and this .env; no engine needed."""
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("Docker Compose is not installed")
    shutil.copy(ROOT / "compose.yaml", tmp_path)

    def render(dot_env: str | None = None, **variables: str) -> dict[str, dict[str, Any]]:
        if dot_env is not None:
            (tmp_path / ".env").write_text(dot_env)
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
        shown = subprocess.run(["docker", "compose", "config", "--format", "json"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert shown.returncode == 0, shown.stderr
        return dict(json.loads(shown.stdout)["services"])

    return render


def test_it_needs_no_env_file(rendered: Callable[..., dict[str, dict[str, Any]]]) -> None:
    for name in OURS:
        environment = rendered()[name]["environment"]
        assert environment["DATABASE_URL"] == "postgresql://jobproc:jobproc@postgres:5432/jobproc"
        assert environment["REDIS_URL"] == "redis://redis:6379/0"


def test_urls_and_settings_of_an_env_file_reach_every_part(rendered: Callable[..., dict[str, dict[str, Any]]]) -> None:
    services = rendered("DATABASE_URL=postgresql://a:b@elsewhere/c\nREDIS_URL=rediss://there/1\nJOBPROC_TICK_SECONDS=0.5\n")
    for name in OURS:
        environment = services[name]["environment"]
        assert (environment["DATABASE_URL"], environment["REDIS_URL"]) == ("postgresql://a:b@elsewhere/c", "rediss://there/1")
        assert environment["JOBPROC_TICK_SECONDS"] == "0.5"


@pytest.mark.parametrize(
    ("dot_env", "variables"), [("OTEL_EXPORTER_OTLP_ENDPOINT=http://there:4318\n", {}), (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://there:4318"})]
)
def test_where_traces_go_to_reaches_every_part(rendered: Callable[..., dict[str, dict[str, Any]]], dot_env: str | None, variables: dict[str, str]) -> None:
    services = rendered(dot_env, **variables)
    assert {services[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] for name in OURS} == {"http://there:4318"}


def test_the_environment_wins_over_the_env_file(rendered: Callable[..., dict[str, dict[str, Any]]]) -> None:
    services = rendered("DATABASE_URL=postgresql://file/c\nPORT=8001\n", DATABASE_URL="postgresql://environment/c", BIND="0.0.0.0", BASE="mirror/python:3.13")  # noqa: S104 - rendered, not bound
    assert services["worker"]["environment"]["DATABASE_URL"] == "postgresql://environment/c"
    (port,) = services["api"]["ports"]
    assert services["worker"]["build"]["args"] == {"BASE": "mirror/python:3.13"}
    assert (port["host_ip"], port["published"], port["target"]) == ("0.0.0.0", "8001", 8000)  # noqa: S104 - as above


# --- it comes up


class Compose:
    """A project of its own, on a port of its own."""

    def __init__(self) -> None:
        port = free_port()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("JOBPROC_")}
        self._env |= {
            "COMPOSE_PROJECT_NAME": f"jobproc-test-{uuid.uuid4().hex[:8]}",
            "PORT": str(port),
            "BIND": "127.0.0.1",
            "DATABASE_URL": "",
            "REDIS_URL": "",
        }

    def run(self, *argv: str, limit_s: float = 120) -> str:
        """Return what it printed. Fails with what it said."""
        done = subprocess.run(["docker", "compose", *argv], cwd=ROOT, env=self._env, capture_output=True, text=True, timeout=limit_s, check=False)
        assert done.returncode == 0, f"docker compose {' '.join(argv)}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def stop(self, name: str) -> float:
        """Stop a service; returns the seconds that it took."""
        began = time.monotonic()
        self.run("stop", name)
        return time.monotonic() - began


@pytest.fixture
def compose() -> Iterator[Compose]:
    """Docker Compose; everything is removed after the test, and the logs are shown if it failed."""
    answer = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False) if shutil.which("docker") else None
    if answer is None or answer.returncode:
        pytest.skip(f"no Docker engine: {answer.stderr.strip() if answer else 'docker is not installed'}")
    made = Compose()
    yield made
    made.client.close()
    with contextlib.suppress(AssertionError):
        print(made.run("logs", "--no-color", "--tail", "50"))
    made.run("down", "--volumes", "--timeout", "5")


@pytest.mark.timeout(UP_S + 120)
def test_up_build_runs_a_job_and_every_part_ends_in_order(compose: Compose) -> None:
    compose.run("up", "--build", "--detach", "--wait", "--wait-timeout", "180", limit_s=UP_S)
    job = compose.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum"}).raise_for_status().json()
    assert job["status"] == "PENDING"

    def ended() -> dict[str, Any] | None:
        result: dict[str, Any] = compose.client.get(f"/jobs/{job['job_id']}/result").raise_for_status().json()
        return result if result["status"] == "SUCCESS" else None

    assert until("the job has ended", ended)["result"] == 14.0

    assert {name: seconds for name in ("worker", "controller", "api") if (seconds := compose.stop(name)) > 10.0} == {}
    shown = [json.loads(line) for line in compose.run("ps", "--all", "--format", "json").splitlines()]
    assert {one["Service"]: one["ExitCode"] for one in shown if one["Service"] in OURS} == dict.fromkeys(OURS, 0)
