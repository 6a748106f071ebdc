"""The built images: their contents, labels, start, end and layers. Skipped where no Docker engine answers."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chart.docker_engine import docker, skip_without_engine
from chart.image_parts import LABELS, PARTS, USER
from chart.manifests import ROOT
from rig.system import until

MODULES = {"api": ("api", "common.migrate"), "worker": ("worker", "worker.controller", "common.migrate")}
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
BUILD_S = 900


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image() -> Callable[[str], str]:
    """Return a function that builds the image of a part once and returns its name."""
    skip_without_engine()
    built: dict[str, str] = {}

    def build(part: str) -> str:
        if part not in built:
            name = f"jobproc-{part}:test"
            arguments = [
                word for label, value in LABELS.items() for word in ("--build-arg", f"{label.upper()}={value}")
            ]
            docker("build", "--file", f"Dockerfile.{part}", "--tag", name, *arguments, ".", limit_s=BUILD_S)
            built[part] = name
        return built[part]

    return build


def inspect(name: str) -> Any:
    return json.loads(docker("inspect", name))[0]


INSPECTION = """
import importlib.util as u, json, os, pathlib, shutil
sources = [f for top in ("/app", "/opt/venv/lib") for f in pathlib.Path(top).rglob("*.py")]
print(json.dumps({
    "folders": sorted(os.listdir("/app")),
    "modules": {m: u.find_spec(m) is not None
                for m in ("api", "worker", "common", "fastapi", "kubernetes", "celery", "pip", "ensurepip")},
    "programs": [p for p in ("pip", "pip3", "gcc", "cc", "make", "ld", "git") if shutil.which(p)],
    "sources": len(sources),
    "uncompiled": [str(f) for f in sources if not os.path.exists(u.cache_from_source(str(f)))],
    "writable": [str(f) for f in (*sources, pathlib.Path("/app"), pathlib.Path("/opt/venv")) if os.access(f, os.W_OK)],
}))
"""


@pytest.mark.needs("docker")
@pytest.mark.timeout(BUILD_S)
def test_an_image_contains_its_part_compiled_and_no_build_tools(part: str, image: Callable[[str], str]) -> None:
    contents = json.loads(docker("run", "--rm", "--entrypoint", "python", image(part), "-c", INSPECTION))
    sdk = [name for name in contents["folders"] if name.startswith("jobproc")]
    assert {*contents["folders"]} - {*sdk} == {part, "common", *({"docs"} if part == "api" else ())}
    assert len(sdk) == (2 if part == "worker" else 0), "its package and its metadata"
    expected = {"common", "celery", *{"api": ("api", "fastapi"), "worker": ("worker",)}[part]}
    assert {module for module, importable in contents["modules"].items() if importable} == expected
    assert contents["sources"] > 1000
    assert (contents["programs"], contents["uncompiled"], contents["writable"]) == ([], [], [])


@pytest.mark.needs("docker")
@pytest.mark.timeout(BUILD_S)
def test_an_image_has_its_labels_user_and_entrypoint(part: str, image: Callable[[str], str]) -> None:
    config = inspect(image(part))["Config"]
    assert {name: config["Labels"][f"org.opencontainers.image.{name}"] for name in LABELS} == LABELS
    assert (config["User"], config["StopSignal"], config["Entrypoint"]) == (USER, "SIGTERM", ["python", "-m"])


@pytest.mark.needs("docker")
@pytest.mark.timeout(BUILD_S)
@pytest.mark.parametrize("user", [USER, "1234567:0", "4242:4343"])
def test_every_module_starts_as_any_user_on_a_read_only_root(part: str, user: str, image: Callable[[str], str]) -> None:
    for module in MODULES[part]:
        options = ["--rm", *HARDENED, "--user", user, "--env", "DATABASE_URL=nowhere"]
        argv = ["docker", "run", *options, image(part), module]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert "DATABASE_URL: must begin with postgresql://" in done.stderr, f"{module}: {done.stderr}"


@pytest.mark.needs("docker")
@pytest.mark.timeout(BUILD_S)
@pytest.mark.parametrize(
    ("part", "module", "port"), [("api", "api", 8000), ("worker", "worker.controller", 9000)], indirect=["part"]
)
def test_a_container_serves_on_a_read_only_root_and_ends_on_sigterm(
    part: str, module: str, port: int, image: Callable[[str], str]
) -> None:
    """The process is PID 1, without PostgreSQL and Redis. A worker needs both, so its end is tested with compose."""
    command = [] if module == part else [module]
    name = docker(
        "run", "--detach", *HARDENED, "--user", "1234567:0", "--env", "JOBPROC_METRICS_PORT=9000", image(part), *command
    )
    try:
        request = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/livez', timeout=2)"
        argv = ["docker", "exec", name, "python", "-c", request]
        until(
            f"{module} answers /livez",
            lambda: not subprocess.run(argv, capture_output=True, check=False).returncode,
        )
        began = time.monotonic()
        docker("stop", "--time", "30", name)
        assert time.monotonic() - began < 10.0, "killed, or nearly"
        assert inspect(name)["State"]["ExitCode"] == 0, docker("logs", name)
    finally:
        docker("rm", "--force", name)


@pytest.mark.needs("docker")
@pytest.mark.timeout(BUILD_S)
def test_an_edit_of_the_code_replaces_the_last_layer_only(
    part: str, image: Callable[[str], str], tmp_path: Path
) -> None:
    for source in ("api", "worker", "common", "clients", "docs", "tools"):
        shutil.copytree(ROOT / source, tmp_path / source)
    for file in (f"Dockerfile.{part}", ".dockerignore", "mkdocs.yml", *(path.name for path in ROOT.glob("*.md"))):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "charts" / "jobproc").mkdir(parents=True)
    shutil.copy(ROOT / "charts" / "jobproc" / "README.md", tmp_path / "charts" / "jobproc")
    edited = tmp_path / "common" / "settings" / "__init__.py"
    edited.write_text(edited.read_text() + "# edited\n")
    before = inspect(image(part))["RootFS"]["Layers"]
    docker(
        "build",
        "--file",
        str(tmp_path / f"Dockerfile.{part}"),
        "--tag",
        f"jobproc-{part}:edited",
        str(tmp_path),
        limit_s=BUILD_S,
    )
    after = inspect(f"jobproc-{part}:edited")["RootFS"]["Layers"]
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


@pytest.mark.needs("docker")
@pytest.mark.timeout(BUILD_S)
def test_the_bill_of_materials_names_every_package_of_the_lock_file(
    part: str, image: Callable[[str], str], tmp_path: Path
) -> None:
    image(part)
    docker("build", "--file", f"Dockerfile.{part}", "--target", "sbom", "--output", str(tmp_path), ".", limit_s=BUILD_S)
    bill = json.loads((tmp_path / "python.cdx.json").read_text())
    named = {component["name"].lower() for component in bill["components"]}
    assert {"celery", "sqlalchemy", {"api": "fastapi", "worker": "psycopg2-binary"}[part]} <= named
    assert "libc6" in (tmp_path / "debian.tsv").read_text()
