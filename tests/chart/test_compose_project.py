"""compose.yaml under Docker Compose: its rendered environment; a job from up to stop, where a Docker engine answers."""

import contextlib
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from chart.compose_file import PARTS
from chart.docker_engine import skip_without_engine
from chart.manifests import ROOT
from rig.system import until

from tools.servers import free_port

UP_S = 900


@pytest.fixture
def rendered(tmp_path: Path) -> Callable[..., dict[str, dict[str, Any]]]:
    """Return a function that renders the services with a .env file and variables. Needs no Docker engine."""
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("Docker Compose is not installed")
    shutil.copy(ROOT / "compose.yaml", tmp_path)

    def render(dot_env: str | None = None, **variables: str) -> dict[str, dict[str, Any]]:
        if dot_env is not None:
            (tmp_path / ".env").write_text(dot_env)
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
        done = subprocess.run(
            ["docker", "compose", "config", "--format", "json"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout)["services"])

    return render


@pytest.mark.needs("docker")
def test_compose_needs_no_env_file(rendered: Callable[..., dict[str, dict[str, Any]]]) -> None:
    for name in PARTS:
        environment = rendered()[name]["environment"]
        role, user = ("jobproc", "") if name == "migrate" else (f"jobproc_{name}", f"{name}:jobproc@")
        assert environment["DATABASE_URL"] == f"postgresql://{role}:jobproc@postgres:5432/jobproc"
        assert environment["REDIS_URL"] == f"redis://{user}redis:6379/0"


@pytest.mark.needs("docker")
def test_urls_and_settings_of_an_env_file_reach_every_part(rendered: Callable[..., dict[str, dict[str, Any]]]) -> None:
    services = rendered(
        "DATABASE_URL=postgresql://a:b@elsewhere/c\nREDIS_URL=rediss://there/1\nJOBPROC_TICK_SECONDS=0.5\n"
    )
    for name in PARTS:
        environment = services[name]["environment"]
        assert (environment["DATABASE_URL"], environment["REDIS_URL"]) == (
            "postgresql://a:b@elsewhere/c",
            "rediss://there/1",
        )
        assert environment["JOBPROC_TICK_SECONDS"] == "0.5"


@pytest.mark.needs("docker")
def test_keys_of_an_env_file_reach_the_part_that_needs_them(rendered: Callable[..., dict[str, dict[str, Any]]]) -> None:
    services = rendered("JOBPROC_FIRST_API_KEY=jp_first\nJOBPROC_API_KEY=jp_workers\n", JOBPROC_API_KEY="jp_readers")
    environments = {name: services[name]["environment"] for name in PARTS}
    assert {name for name in PARTS if environments[name]["JOBPROC_FIRST_API_KEY"] == "jp_first"} == {"migrate"}
    assert {name for name in PARTS if environments[name]["JOBPROC_API_KEY"] == "jp_workers"} == {"worker"}
    assert "jp_readers" not in str(services), "the key in a reader's shell is not for operations"


@pytest.mark.needs("docker")
@pytest.mark.parametrize(
    ("dot_env", "variables"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT=http://there:4318\n", {}),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://there:4318"}),
    ],
)
def test_the_endpoint_of_traces_reaches_every_part(
    rendered: Callable[..., dict[str, dict[str, Any]]], dot_env: str | None, variables: dict[str, str]
) -> None:
    services = rendered(dot_env, **variables)
    assert {services[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] for name in PARTS} == {"http://there:4318"}


@pytest.mark.needs("docker")
def test_the_environment_wins_over_the_env_file(rendered: Callable[..., dict[str, dict[str, Any]]]) -> None:
    services = rendered(
        "DATABASE_URL=postgresql://file/c\nPORT=8001\n",
        DATABASE_URL="postgresql://environment/c",
        BIND="0.0.0.0",  # noqa: S104 - rendered, not bound
        BASE="mirror/python:3.13",
    )
    assert services["worker"]["environment"]["DATABASE_URL"] == "postgresql://environment/c"
    (port,) = services["api"]["ports"]
    assert services["worker"]["build"]["args"] == {"BASE": "mirror/python:3.13"}
    assert (port["host_ip"], port["published"], port["target"]) == ("0.0.0.0", "8001", 8000)  # noqa: S104 - as above


# --- from up to stop


class Compose:
    """A Docker Compose project with a unique name, on a free port."""

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
        """Run docker compose and return its output. Fails with its error output."""
        done = subprocess.run(
            ["docker", "compose", *argv],
            cwd=ROOT,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        assert done.returncode == 0, f"docker compose {' '.join(argv)}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def first_key(self) -> str:
        """Return the first API key, as docs/howto/compose.md reads it."""
        return self.run("run", "--rm", "first-key")

    def stop(self, name: str) -> float:
        """Stop a service and return the seconds that this took."""
        began = time.monotonic()
        self.run("stop", name)
        return time.monotonic() - began


@pytest.fixture
def compose() -> Iterator[Compose]:
    """Return a Docker Compose project. Its logs are printed and it is removed after the test."""
    skip_without_engine()
    project = Compose()
    yield project
    project.client.close()
    with contextlib.suppress(AssertionError):
        print(project.run("logs", "--no-color", "--tail", "50"))
    project.run("down", "--volumes", "--timeout", "5")


@pytest.mark.needs("docker")
@pytest.mark.timeout(UP_S + 120)
def test_compose_up_runs_a_job_and_every_part_ends_with_code_0(compose: Compose) -> None:
    compose.run("up", "--build", "--detach", "--wait", "--wait-timeout", "180", limit_s=UP_S)
    assert compose.client.get("/stats").status_code == 401
    key = compose.first_key()
    compose.client.headers["Authorization"] = f"Bearer {key}"
    job = compose.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum"}).raise_for_status().json()
    assert job["status"] == "PENDING"

    def finished() -> dict[str, Any] | None:
        result: dict[str, Any] = compose.client.get(f"/jobs/{job['job_id']}/result").raise_for_status().json()
        return result if result["status"] == "SUCCESS" else None

    assert until("the job has finished", finished)["result"] == 14.0

    compose.run("run", "--rm", "migrate")
    assert compose.first_key() == key, "it is kept"
    assert compose.client.get("/stats").status_code == 200

    assert {name: seconds for name in ("worker", "controller", "api") if (seconds := compose.stop(name)) > 10.0} == {}
    containers = [json.loads(line) for line in compose.run("ps", "--all", "--format", "json").splitlines()]
    assert {
        container["Service"]: container["ExitCode"] for container in containers if container["Service"] in PARTS
    } == dict.fromkeys(PARTS, 0)
