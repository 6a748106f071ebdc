"""The two images: what their Dockerfiles say, that their folders and packages are enough, and, where a Docker engine answers, the images themselves."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from rig.system import System, until

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("api", "worker")
MODULES = {"api": ("api", "common.migrate"), "worker": ("worker", "worker.controller", "common.migrate")}
USER = "10001:0"
LABELS = {"version": "1.2.3", "revision": "abcdef0", "created": "2026-01-02T03:04:05Z"}
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
BUILD_S = 900


def instructions(part: str) -> list[tuple[str, str, str]]:
    """Return the instructions of a Dockerfile: the stage ("" before the first, "last" for the last), the word, the rest."""
    text = re.sub(r"^#.*\n", "", (ROOT / f"Dockerfile.{part}").read_text(), flags=re.MULTILINE)
    found, stage = [], ""
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        if line.strip():
            word, rest = line.split(maxsplit=1)
            if word == "FROM":
                stage = rest.partition(" AS ")[2] or "last"
            found.append((stage, word, rest))
    return found


def of(part: str, word: str, stage: str | None = None) -> list[str]:
    return [rest for at, what, rest in instructions(part) if what == word and stage in (None, at)]


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_stage_is_built_on_the_base_which_is_an_argument(part: str) -> None:
    assert of(part, "ARG", "")[0] == "BASE=python:3.13-slim-trixie"
    stages: set[str] = {"${BASE}", "scratch"}
    for start in of(part, "FROM"):
        base, _, name = start.partition(" AS ")
        assert base in stages
        stages.add(name)
    assert of(part, "FROM")[-1] == "${BASE}", "the default target is the image, with nothing of the stages that built it"


def test_packages_are_wheels_with_known_hashes_of_the_parts_own_extra(part: str) -> None:
    assert f"{part}/requirements.lock /requirements.lock" in of(part, "COPY", "packages")
    (run,) = of(part, "RUN", "packages")
    (install,) = [command for command in run.split(" && ") if " install " in command]
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "--no-cache-dir", "-r /requirements.lock"):
        assert option in install


def test_no_more_than_the_parts_folders_are_taken_in(part: str) -> None:
    taken = {source for rest in of(part, "COPY") if not rest.startswith("--from=") for source in rest.split()[:-1]}
    assert taken == {f"{part}/requirements.lock", f"{part}/", "common/"}
    assert not of(part, "ADD")


def test_no_more_than_the_folders_of_the_images_are_sent_to_the_builder() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert {line for line in lines if line.startswith("!")} == {"!api", "!common", "!worker"}
    last = max(number for number, line in enumerate(lines) if line.startswith("!"))
    assert {"**/__pycache__", "**/*.py[co]"} <= set(lines[last:]), "bytecode of another Python stays out"


def test_a_change_of_the_code_is_a_change_of_the_last_layer(part: str) -> None:
    last = [(word, rest) for stage, word, rest in instructions(part) if stage == "last"]
    layers = [rest for word, rest in last if word in {"RUN", "COPY", "WORKDIR"}]
    assert layers[-2:] == ["--from=packages /opt/venv /opt/venv", "--from=code /app /app"]
    after = [word for word, _ in last[last.index(("COPY", layers[-1])) + 1 :]]
    assert set(after) <= {"ARG", "LABEL"}
    assert not any("ARG" in word for word, _ in last[: -len(after)]), "a version must not void the cache of a layer"


def test_it_runs_as_a_number_that_is_not_root_and_needs_no_name(part: str) -> None:
    assert of(part, "USER", "last") == [USER]
    (environment,) = of(part, "ENV", "last")
    for setting in ("HOME=/tmp", "PYTHONPATH=/app", "PYTHONSAFEPATH=1", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"):
        assert setting in environment.split()


def test_what_follows_the_image_is_a_module_and_the_default_exists(part: str) -> None:
    assert json.loads(of(part, "ENTRYPOINT", "last")[0]) == ["python", "-m"]
    command = json.loads(of(part, "CMD", "last")[0])
    assert command == {"api": "api --host 0.0.0.0 --port 8000", "worker": "worker"}[part].split()
    assert (ROOT / command[0] / "__main__.py").exists()
    assert of(part, "STOPSIGNAL", "last") == ["SIGTERM"]
    assert not of(part, "HEALTHCHECK")


def test_labels_are_arguments(part: str) -> None:
    (labels,) = of(part, "LABEL", "last")
    arguments = {rest.partition("=")[0] for rest in of(part, "ARG", "last")}
    for name in LABELS:
        assert f'org.opencontainers.image.{name}="${{{name.upper()}}}"' in labels
        assert name.upper() in arguments


def test_any_builder_will_do(part: str) -> None:
    """Nothing that fetches a frontend from a registry, or that only BuildKit knows."""
    assert not re.search(r"^# *syntax|--mount|--link|<<", (ROOT / f"Dockerfile.{part}").read_text(), re.MULTILINE)


def test_the_two_differ_in_their_words_only() -> None:
    one, two = (
        [(stage, word, re.sub(rf"\b({'|'.join(PARTS)})\b", "PART", rest)) for stage, word, rest in instructions(part) if word not in {"CMD", "LABEL", "EXPOSE"}]
        for part in PARTS
    )
    assert one == two


def test_hadolint_finds_nothing(part: str) -> None:
    hadolint = str(Path(sys.executable).with_name("hadolint"))
    found = subprocess.run([hadolint, "--failure-threshold", "style", f"Dockerfile.{part}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


# --- an image's folders and packages are enough; no engine needed


ABSENT = """import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name + " is not in this image", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture
def held(tmp_path: Path) -> Callable[[str], str]:
    """Copy what an image holds; returns the PYTHONPATH under which only its folders and the packages of its lock file can be imported."""

    def copy(part: str) -> str:
        folder = tmp_path / f"image-{part}"
        for source in ("common", part):
            shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
        locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / part / "requirements.lock").read_text(), re.MULTILINE))
        absent = {top for top, owners in packages_distributions().items() if locked.isdisjoint(re.sub(r"[-_.]+", "-", owner).lower() for owner in owners)}
        assert "pytest" in absent
        (folder / "sitecustomize.py").write_text(ABSENT.format(absent=absent))
        return str(folder)

    return copy


@pytest.mark.parametrize(
    ("part", "absent"), [("api", ("worker", "kubernetes")), ("worker", ("api", "fastapi", "uvicorn", "asyncpg", "kubernetes"))], indirect=["part"]
)
def test_neither_image_can_import_what_is_the_others(part: str, absent: tuple[str, ...], held: Callable[[str], str], tmp_path: Path) -> None:
    env = {"PYTHONPATH": held(part)}
    for module, wanted in [(part, True), ("common", True), *((name, False) for name in absent)]:
        asked = subprocess.run([sys.executable, "-c", f"import {module}"], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (asked.returncode == 0) is wanted, f"{module}: {asked.stderr}"


@pytest.fixture
def servers() -> None:
    if "JOBPROC_TESTS_POSTGRES" not in os.environ:
        pytest.skip("no servers: --no-servers")


@pytest.mark.usefixtures("servers")
def test_what_the_images_hold_is_enough_to_run_a_job(system: System, held: Callable[[str], str]) -> None:
    api, worker = held("api"), held("worker")
    assert system.spawn("migrate", "common.migrate", PYTHONPATH=api).wait(60) == 0, system.log("migrate")
    system.spawn("worker", "worker", PYTHONPATH=worker)  # not by the rig, which waits for an operation of its own package
    system.api(PYTHONPATH=api).controller(PYTHONPATH=worker)
    assert system.wait(system.submit("square_sum", 1, 2, 3))["result"] == 14.0


# --- the images themselves


def docker(*argv: str, limit_s: float = 60) -> str:
    """Run the client; returns what it printed. Fails with what it said."""
    done = subprocess.run(["docker", *argv], cwd=ROOT, capture_output=True, text=True, timeout=limit_s, check=False)
    assert done.returncode == 0, f"docker {' '.join(argv)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> Callable[[str], str]:
    """Build an image once; returns its name."""
    answer = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False) if shutil.which("docker") else None
    if answer is None or answer.returncode:
        pytest.skip(f"no Docker engine: {answer.stderr.strip() if answer else 'docker is not installed'}")
    built: dict[str, str] = {}

    def build(part: str) -> str:
        if part not in built:
            arguments = [word for name, value in LABELS.items() for word in ("--build-arg", f"{name.upper()}={value}")]
            docker("build", "--file", f"Dockerfile.{part}", "--tag", f"jobproc-{part}:test", *arguments, ".", limit_s=BUILD_S)
            built[part] = f"jobproc-{part}:test"
        return built[part]

    return build


def inspect(name: str) -> Any:
    return json.loads(docker("inspect", name))[0]


LOOK = """
import importlib.util as u, json, os, pathlib, shutil
sources = [f for top in ("/app", "/opt/venv/lib") for f in pathlib.Path(top).rglob("*.py")]
print(json.dumps({
    "folders": sorted(os.listdir("/app")),
    "modules": {m: u.find_spec(m) is not None for m in ("api", "worker", "common", "fastapi", "kubernetes", "celery", "pip", "ensurepip")},
    "programs": [p for p in ("pip", "pip3", "gcc", "cc", "make", "ld", "git") if shutil.which(p)],
    "sources": len(sources),
    "uncompiled": [str(f) for f in sources if not os.path.exists(u.cache_from_source(str(f)))],
    "writable": [str(f) for f in (*sources, pathlib.Path("/app"), pathlib.Path("/opt/venv")) if os.access(f, os.W_OK)],
}))
"""


@pytest.mark.timeout(BUILD_S)
def test_an_image_holds_its_part_compiled_and_nothing_that_builds(part: str, image: Callable[[str], str]) -> None:
    seen = json.loads(docker("run", "--rm", "--entrypoint", "python", image(part), "-c", LOOK))
    assert seen["folders"] == sorted([part, "common"])
    has = {"common", "celery", *{"api": ("api", "fastapi"), "worker": ("worker",)}[part]}
    assert {module for module, found in seen["modules"].items() if found} == has
    assert seen["sources"] > 1000
    assert (seen["programs"], seen["uncompiled"], seen["writable"]) == ([], [], [])


@pytest.mark.timeout(BUILD_S)
def test_an_image_says_what_it_is(part: str, image: Callable[[str], str]) -> None:
    config = inspect(image(part))["Config"]
    assert {name: config["Labels"][f"org.opencontainers.image.{name}"] for name in LABELS} == LABELS
    assert (config["User"], config["StopSignal"], config["Entrypoint"]) == (USER, "SIGTERM", ["python", "-m"])


@pytest.mark.timeout(BUILD_S)
@pytest.mark.parametrize("user", [USER, "1234567:0", "4242:4343"])
def test_every_module_starts_as_any_user_on_a_read_only_root(part: str, user: str, image: Callable[[str], str]) -> None:
    for module in MODULES[part]:
        argv = ["docker", "run", "--rm", *HARDENED, "--user", user, "--env", "DATABASE_URL=nowhere", image(part), module]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert "DATABASE_URL: must begin with postgresql://" in ended.stderr, f"{module}: {ended.stderr}"


@pytest.mark.timeout(BUILD_S)
@pytest.mark.parametrize(("part", "module", "port"), [("api", "api", 8000), ("worker", "worker.controller", 9000)], indirect=["part"])
def test_it_serves_on_a_read_only_root_and_ends_on_sigterm(part: str, module: str, port: int, image: Callable[[str], str]) -> None:
    """As PID 1, with neither PostgreSQL nor Redis. The worker's end is tried with compose, for it needs both."""
    command = [] if module == part else [module]
    name = docker("run", "--detach", *HARDENED, "--user", "1234567:0", "--env", "JOBPROC_METRICS_PORT=9000", image(part), *command)
    try:
        ask = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/livez', timeout=2)"
        until("it lives", lambda: not subprocess.run(["docker", "exec", name, "python", "-c", ask], capture_output=True, check=False).returncode)
        began = time.monotonic()
        docker("stop", "--time", "30", name)
        assert time.monotonic() - began < 10.0, "killed, or nearly"
        assert inspect(name)["State"]["ExitCode"] == 0, docker("logs", name)
    finally:
        docker("rm", "--force", name)


@pytest.mark.timeout(BUILD_S)
def test_an_edit_of_the_code_replaces_the_last_layer_only(part: str, image: Callable[[str], str], tmp_path: Path) -> None:
    for source in ("api", "worker", "common"):
        shutil.copytree(ROOT / source, tmp_path / source)
    for file in (f"Dockerfile.{part}", ".dockerignore"):
        shutil.copy(ROOT / file, tmp_path)
    edited = tmp_path / "common" / "settings.py"
    edited.write_text(edited.read_text() + "# edited\n")
    before = inspect(image(part))["RootFS"]["Layers"]
    docker("build", "--file", str(tmp_path / f"Dockerfile.{part}"), "--tag", f"jobproc-{part}:edited", str(tmp_path), limit_s=BUILD_S)
    after = inspect(f"jobproc-{part}:edited")["RootFS"]["Layers"]
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


@pytest.mark.timeout(BUILD_S)
def test_the_bill_of_materials_names_every_package_of_the_lock_file(part: str, image: Callable[[str], str], tmp_path: Path) -> None:
    image(part)
    docker("build", "--file", f"Dockerfile.{part}", "--target", "sbom", "--output", str(tmp_path), ".", limit_s=BUILD_S)
    bill = json.loads((tmp_path / "python.cdx.json").read_text())
    named = {component["name"].lower() for component in bill["components"]}
    assert {"celery", "sqlalchemy", {"api": "fastapi", "worker": "psycopg2-binary"}[part]} <= named
    assert "libc6" in (tmp_path / "debian.tsv").read_text()
