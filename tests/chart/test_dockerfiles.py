"""The two Dockerfiles: their stages, layers, users, labels and build context."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from chart.image_parts import LABELS, PARTS, USER
from chart.manifests import ROOT

#: Documents and the tool that makes a site of them, in a stage of its own.
DOCS = {
    "tools/site/requirements.lock",
    "mkdocs.yml",
    "*.md",
    "tools/",
    "docs/",
    "clients/python/README.md",
    "charts/jobproc/README.md",
}


def instructions(part: str) -> list[tuple[str, str, str]]:
    """Return the instructions of a Dockerfile as (stage, keyword, arguments).

    The stage is "" before the first FROM, and "last" for the last stage.
    """
    text = re.sub(r"^#.*\n", "", (ROOT / f"Dockerfile.{part}").read_text(), flags=re.MULTILINE)
    rows, stage = [], ""
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        if line.strip():
            keyword, arguments = line.split(maxsplit=1)
            if keyword == "FROM":
                stage = arguments.partition(" AS ")[2] or "last"
            rows.append((stage, keyword, arguments))
    return rows


def arguments_of(part: str, keyword: str, stage: str | None = None) -> list[str]:
    """Return the arguments of each instruction with this keyword, in all stages if `stage` is None."""
    return [
        arguments
        for in_stage, instruction, arguments in instructions(part)
        if instruction == keyword and stage in (None, in_stage)
    ]


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_stage_is_built_on_the_base_argument(part: str) -> None:
    assert arguments_of(part, "ARG", "")[0] == "BASE=python:3.13-slim-trixie"
    stages: set[str] = {"${BASE}", "scratch"}
    for from_ in arguments_of(part, "FROM"):
        base, _, name = from_.partition(" AS ")
        assert base in stages
        stages.add(name)
    assert arguments_of(part, "FROM")[-1] == "${BASE}", "the default target is the image, without its build stages"


def test_packages_are_installed_as_wheels_with_hashes_from_the_parts_lock_file(part: str) -> None:
    assert f"{part}/requirements.lock /requirements.lock" in arguments_of(part, "COPY", "packages")
    (run,) = arguments_of(part, "RUN", "packages")
    (install,) = [command for command in run.split(" && ") if " install " in command]
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "--no-cache-dir", "-r /requirements.lock"):
        assert option in install


def test_an_image_copies_only_the_folders_of_its_part(part: str) -> None:
    copied = {
        source
        for arguments in arguments_of(part, "COPY")
        if not arguments.startswith("--from=")
        for source in arguments.split()[:-1]
    }
    sdk = {"clients/python/"} if part == "worker" else set()
    assert copied - DOCS == {f"{part}/requirements.lock", f"{part}/", "common/"} | sdk
    assert copied & DOCS == (DOCS if part == "api" else set())
    assert not arguments_of(part, "ADD")


def test_the_build_context_contains_only_the_folders_of_the_images() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    docs = {"!docs", "!mkdocs.yml", "!*.md", "!charts/jobproc/README.md", "!tools/__init__.py", "!tools/site"}
    code = {"!api", "!common", "!worker", "!clients/python"}
    assert {line for line in lines if line.startswith("!")} == code | docs
    last = max(number for number, line in enumerate(lines) if line.startswith("!"))
    assert {"**/__pycache__", "**/*.py[co]"} <= set(lines[last:]), "bytecode of another Python stays out"


def test_the_site_is_built_by_packages_with_hashes_and_lies_beside_the_code_of_the_api() -> None:
    install, build = arguments_of("api", "RUN", "docs")
    assert "--only-binary :all: --no-deps --require-hashes -r /requirements.lock" in install
    assert build.startswith("python -m tools.site")
    assert "--from=docs /build/.local/docs/site /app/docs" in arguments_of("api", "COPY", "last")
    assert "JOBPROC_DOCS_FOLDER=/app/docs" in arguments_of("api", "ENV", "last")[0].split()
    assert "docs" not in {stage for stage, _, _ in instructions("worker")}


def test_the_code_is_the_last_layer(part: str) -> None:
    last = [(keyword, arguments) for stage, keyword, arguments in instructions(part) if stage == "last"]
    layers = [arguments for keyword, arguments in last if keyword in {"RUN", "COPY", "WORKDIR"}]
    assert layers[-2:] == ["--from=packages /opt/venv /opt/venv", "--from=code /app /app"]
    after = [keyword for keyword, _ in last[last.index(("COPY", layers[-1])) + 1 :]]
    assert set(after) <= {"ARG", "LABEL"}
    assert not any("ARG" in keyword for keyword, _ in last[: -len(after)]), (
        "a version must not invalidate the cache of a layer"
    )


def test_an_image_runs_as_a_numeric_user_other_than_root(part: str) -> None:
    assert arguments_of(part, "USER", "last") == [USER]
    (environment,) = arguments_of(part, "ENV", "last")
    for setting in (
        "HOME=/tmp",
        "PYTHONPATH=/app",
        "PYTHONSAFEPATH=1",
        "PYTHONUNBUFFERED=1",
        "PYTHONDONTWRITEBYTECODE=1",
    ):
        assert setting in environment.split()


def test_the_sdk_is_built_by_packages_with_hashes_and_installed_beside_the_code_of_the_worker() -> None:
    (run,) = arguments_of("worker", "RUN", "sdk")
    build, install, without_programs = run.split(" && ")
    assert without_programs == "rm -r /app/bin"
    assert "--require-hashes -r /sdk/build.lock" in build
    assert all(option in install for option in ("--no-build-isolation", "--no-deps", "--target /app", " /sdk"))
    assert "--from=sdk /app/ /app/" in arguments_of("worker", "COPY", "code")


def test_the_command_of_an_image_is_a_module_and_the_default_module_exists(part: str) -> None:
    assert json.loads(arguments_of(part, "ENTRYPOINT", "last")[0]) == ["python", "-m"]
    command = json.loads(arguments_of(part, "CMD", "last")[0])
    assert command == {"api": "api --host 0.0.0.0 --port 8000", "worker": "worker"}[part].split()
    assert (ROOT / command[0] / "__main__.py").exists()
    assert arguments_of(part, "STOPSIGNAL", "last") == ["SIGTERM"]
    assert not arguments_of(part, "HEALTHCHECK")


def test_labels_are_build_arguments(part: str) -> None:
    (labels,) = arguments_of(part, "LABEL", "last")
    arguments = {argument.partition("=")[0] for argument in arguments_of(part, "ARG", "last")}
    for name in LABELS:
        assert f'org.opencontainers.image.{name}="${{{name.upper()}}}"' in labels
        assert name.upper() in arguments


def test_a_dockerfile_needs_no_buildkit(part: str) -> None:
    """The Dockerfile fetches no frontend from a registry and uses no BuildKit syntax."""
    assert not re.search(r"^# *syntax|--mount|--link|<<", (ROOT / f"Dockerfile.{part}").read_text(), re.MULTILINE)


def test_both_dockerfiles_have_the_same_instructions_but_for_the_sdk_and_the_documentation() -> None:
    own = {"api": "docs", "worker": "sdk"}
    api, worker = (
        [
            (stage, keyword, re.sub(rf"\b({'|'.join(PARTS)})\b", "PART", arguments))
            for stage, keyword, arguments in instructions(part)
            if keyword not in {"CMD", "LABEL", "EXPOSE"}
            and not (keyword != "ENV" and own[part] in f"{stage} {arguments}")
        ]
        for part in PARTS
    )
    api = [(stage, keyword, text.removesuffix(" JOBPROC_DOCS_FOLDER=/app/docs")) for stage, keyword, text in api]
    assert api == worker


def test_hadolint_reports_nothing(part: str) -> None:
    hadolint = str(Path(sys.executable).with_name("hadolint"))
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", f"Dockerfile.{part}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
