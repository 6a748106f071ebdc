"""compose.yaml: its services, their rights, settings and order, and the profile `observability`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from chart.compose_file import FILE, FIRST_KEY, OBSERVERS, PARTS, SERVERS, SERVICES
from chart.manifests import ROOT

from common.settings import Settings, name_of
from common.telemetry.traces import ENDPOINT_VARIABLES


def test_the_file_has_every_part_both_servers_and_the_observers() -> None:
    assert set(SERVICES) == {*PARTS, FIRST_KEY, *SERVERS, *OBSERVERS}
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["observability"]} == set(
        OBSERVERS
    )
    assert {name: SERVICES[name]["image"] for name in SERVERS} == {"postgres": "postgres:18", "redis": "redis:8"}
    assert {name: SERVICES[name]["build"]["dockerfile"] for name in PARTS} == {
        "api": "Dockerfile.api",
        "migrate": "Dockerfile.api",
        "worker": "Dockerfile.worker",
        "controller": "Dockerfile.worker",
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_only_the_rights_that_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"]
    assert service["logging"] == {"driver": "local"}, "logs are bounded"
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert name in {*PARTS, FIRST_KEY} or re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), (
        "our images set their user themselves"
    )


@pytest.mark.parametrize("name", SERVICES)
def test_no_folder_of_the_host_is_mounted(name: str) -> None:
    sources = [volume.partition(":")[0] for volume in SERVICES[name].get("volumes", [])]
    assert set(sources) <= set(FILE["volumes"])


def test_only_the_api_and_the_observers_listen_and_only_on_this_machine() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"api", *OBSERVERS}
    assert SERVICES["api"]["ports"] == ["${BIND:-127.0.0.1}:${PORT:-8000}:8000"]
    assert all(port.startswith("127.0.0.1:") for name in OBSERVERS for port in SERVICES[name]["ports"])


def test_the_parts_wait_for_a_migrated_database_and_the_workers_for_redis() -> None:
    waits = {
        name: {dependency: options["condition"] for dependency, options in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    migrated, redis = {"migrate": "service_completed_successfully"}, {"redis": "service_healthy"}
    assert waits["migrate"] == {"postgres": "service_healthy"}
    assert waits["api"] == migrated, "submissions need no Redis"
    assert waits["worker"] == waits["controller"] == migrated | redis


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_that_goes_on_is_restarted(name: str) -> None:
    runs_once = name in {"migrate", FIRST_KEY}
    assert SERVICES[name]["restart"] == ("no" if runs_once else "unless-stopped")
    assert ("healthcheck" in SERVICES[name]) is (not runs_once and name not in OBSERVERS)


def test_the_first_key_is_in_a_volume_that_only_the_migration_and_its_reader_have() -> None:
    """`docker compose up` starts no reader, and needs no step before it."""
    with_key = {
        name: service["volumes"] for name, service in SERVICES.items() if "first-key:" in str(service.get("volumes"))
    }
    assert with_key == {"migrate": ["first-key:/var/lib/jobproc"], FIRST_KEY: ["first-key:/var/lib/jobproc:ro"]}
    assert SERVICES["migrate"]["command"][1:] == ["--first-key-file", "/var/lib/jobproc/first-api-key"]
    reader = SERVICES[FIRST_KEY]
    assert reader["profiles"] == [FIRST_KEY]
    assert reader["entrypoint"] == ["cat", "/var/lib/jobproc/first-api-key"]
    assert (reader["image"], reader["pull_policy"]) == (SERVICES["migrate"]["image"], "never")
    for part in ("api", "worker"):
        assert "mkdir -m 1777 /var/lib/jobproc" in (ROOT / f"Dockerfile.{part}").read_text(), "its user may write there"


def test_authentication_is_on_and_each_part_knows_only_its_own_key() -> None:
    settings = {name: SERVICES[name]["environment"] for name in PARTS}
    assert settings["api"]["JOBPROC_AUTHENTICATION"] == "${JOBPROC_AUTHENTICATION:-required}"
    first = {name: settings[name]["JOBPROC_FIRST_API_KEY"] for name in PARTS}
    assert first == {**dict.fromkeys(PARTS, ""), "migrate": "${JOBPROC_FIRST_API_KEY:-}"}
    own = {name: settings[name].get("JOBPROC_API_KEY") for name in PARTS}
    assert own == {**dict.fromkeys(PARTS, ""), "worker": None}
    client = {name: settings[name]["JOBPROC_OIDC_CLIENT_SECRET"] for name in PARTS}
    assert client == {**dict.fromkeys(PARTS, ""), "api": "${JOBPROC_OIDC_CLIENT_SECRET:-}"}


@pytest.mark.parametrize("name", ["api", "controller"])
def test_the_probe_uses_the_port_of_the_metrics(name: str) -> None:
    """Clients of the API cannot fill that port with connections."""
    port = SERVICES[name]["environment"]["JOBPROC_METRICS_PORT"]
    assert f"http://127.0.0.1:{port}/" in SERVICES[name]["healthcheck"]["test"][3]


@pytest.mark.parametrize("name", PARTS)
def test_a_command_is_a_module_of_its_image(name: str) -> None:
    """The images begin with `python -m`."""
    command = SERVICES[name].get("command", ["api"])
    folder = SERVICES[name]["build"]["dockerfile"].removeprefix("Dockerfile.")
    module = Path(*command[0].split("."))
    assert module.parts[0] in {folder, "common"}
    assert (ROOT / module.with_suffix(".py")).exists() or (ROOT / module / "__main__.py").exists()
    assert "entrypoint" not in SERVICES[name]


@pytest.mark.parametrize("name", PARTS)
def test_settings_exist_and_come_from_the_environment_or_an_optional_file(name: str) -> None:
    settings = SERVICES[name]["environment"]
    assert set(settings) - {ENDPOINT_VARIABLES[1]} <= {name_of(field) for field in Settings.model_fields}
    assert settings["DATABASE_URL"].startswith("${DATABASE_URL:-postgresql://")
    assert settings["REDIS_URL"].startswith("${REDIS_URL:-redis://")
    assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]


@pytest.mark.parametrize("name", PARTS)
def test_the_shutdown_grace_ends_before_the_container_is_killed(name: str) -> None:
    assert (
        int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
        > Settings.model_fields["shutdown_grace_seconds"].default
    )


# --- the profile `observability`


def config_file(name: str) -> Path:
    """Return the file of a config."""
    file: str = FILE["configs"][name]["file"]
    return ROOT / file


def test_every_config_is_a_file() -> None:
    """Compose refuses to start a read-only service with a config of another kind."""
    assert {name: list(config) for name, config in FILE["configs"].items() if list(config) != ["file"]} == {}
    for name in FILE["configs"]:
        assert config_file(name).is_file()


def test_every_dashboard_and_alert_of_the_chart_is_in_the_profile() -> None:
    mounted = {config_file(config["source"]) for name in OBSERVERS for config in SERVICES[name].get("configs", [])}
    assert {path for path in mounted if path.is_relative_to(ROOT / "charts")} == {
        path for kind in ("dashboards", "alerts") for path in (ROOT / "charts" / "jobproc" / kind).iterdir()
    }


@pytest.mark.needs("promtool")
def test_promtool_accepts_the_configuration_of_prometheus(tmp_path: Path) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    alerts = sorted((ROOT / "charts" / "jobproc" / "alerts").glob("*.yaml"))
    for path in alerts:
        shutil.copy(path, tmp_path)
    (tmp_path / "prometheus.yml").write_text(
        config_file("prometheus").read_text().replace("/etc/prometheus/alerts", str(tmp_path))
    )
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.count("rules found") == len(alerts) > 3


def test_prometheus_scrapes_every_part_that_has_metrics() -> None:
    (job,) = yaml.safe_load(config_file("prometheus").read_text())["scrape_configs"]
    (dns,) = job["dns_sd_configs"]
    assert set(dns["names"]) == {name for name in PARTS if name != "migrate"}
    assert all(SERVICES[name]["environment"]["JOBPROC_METRICS_PORT"] == str(dns["port"]) for name in dns["names"])


def test_the_documented_endpoint_of_traces_is_jaeger() -> None:
    documented = re.search(
        r"OTEL_EXPORTER_OTLP_ENDPOINT=http://([a-z]+):(\d+) docker compose",
        (ROOT / "docs" / "howto" / "monitoring.md").read_text(),
    )
    assert documented
    assert (documented[1], documented[2]) == ("jaeger", "4318"), "the port of OTLP over HTTP"
    assert SERVICES["jaeger"]["environment"] == {
        "JAEGER_LISTEN_HOST": "0.0.0.0"  # noqa: S104 - read, not bound
    }, "by default it listens inside its container only"


def test_an_exemplar_of_a_histogram_links_to_its_trace() -> None:
    prometheus, jaeger = yaml.safe_load(config_file("grafana-sources").read_text())["datasources"]
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]
    assert prometheus["jsonData"] == {
        "exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": jaeger["uid"]}]
    }
    assert (jaeger["type"], jaeger["url"]) == ("jaeger", "http://jaeger:16686")


def test_a_visitor_of_grafana_may_only_read_and_no_password_is_known() -> None:
    grafana = SERVICES["grafana"]
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert grafana["environment"]["GRAFANA_PASSWORD"] == "${GRAFANA_PASSWORD:-}"  # noqa: S105 - empty
    assert 'GF_SECURITY_ADMIN_PASSWORD="$${GRAFANA_PASSWORD:-$$random}"' in grafana["entrypoint"][-1]
