"""Files that hosts of repositories read: workflows, forms, hooks before commits, updates of dependencies."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML carries no types

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
RIGHTS = {"contents": "read", "packages": "write", "pages": "write", "id-token": "write"}
#: Commands of a workflow besides make: the programs without which a few tests are skipped.
OTHER_COMMANDS = {"sudo apt-get"}


def name(path: Path) -> str:
    return path.stem


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load(path.read_text())["jobs"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
def test_a_workflow_does_nothing_that_make_cannot_do(path: Path) -> None:
    commands = [step["run"] for job in jobs(path).values() for step in job["steps"] if "run" in step]
    for command in commands:
        for part in re.split(r" && |\n", command):
            words = part.split()
            if words[0] == "make":
                assert {word for word in words[1:] if "=" not in word} <= TARGETS
            else:
                assert " ".join(words[:2]) in OTHER_COMMANDS, part


@pytest.mark.parametrize("path", WORKFLOWS, ids=name)
def test_actions_are_pinned_and_jobs_have_the_rights_that_they_need_and_a_limit(path: Path) -> None:
    used = re.findall(r"uses: (.*)$", path.read_text(), re.MULTILINE)
    assert [line for line in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    for job in jobs(path).values():
        assert job["permissions"].items() <= RIGHTS.items()
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_what_is_released_is_built_for_two_architectures_with_provenance_and_sbom() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    assert "make login images PUSH=1 PLATFORMS=linux/amd64,linux/arm64" in text
    recipe = (ROOT / "Makefile").read_text().partition("\nimages: ")[2].partition("\npackage: ")[0]
    assert "--provenance=mode=max --sbom=true --push" in recipe
    assert set(jobs(ROOT / ".github" / "workflows" / "release.yml")) == {"images", "chart", "wheel"}


@pytest.mark.parametrize("path", [path for path in FORMS if path.stem != "config"], ids=name)
def test_a_form_asks_for_something(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert form.keys() >= {"name", "description", "labels", "body"}
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in asked}) == len(asked) > 2
    assert any(field["validations"]["required"] for field in asked)


def test_the_hooks_before_a_commit_are_steps_of_the_gate() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        program = hook["entry"].split()[0]
        assert program.startswith(".venv/bin/")
        assert Path(program).name in {"ruff", "codespell", "python"}


def test_updates_leave_what_is_pinned_on_purpose() -> None:
    rules = json.loads((ROOT / "renovate.json").read_text())["packageRules"]
    (pinned,) = [rule["matchPackageNames"] for rule in rules if rule.get("enabled") is False]
    project = (ROOT / "pyproject.toml").read_text()
    assert set(pinned) == set(re.findall(r'^ *"([a-z-]+)==', project, re.MULTILINE))


def test_the_version_is_the_same_everywhere_and_in_the_changelog() -> None:
    (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    chart = yaml.safe_load((ROOT / "charts" / "jobproc" / "Chart.yaml").read_text())
    sdk = re.findall(r'^version = "(.+)"', (ROOT / "clients" / "python" / "pyproject.toml").read_text(), re.MULTILINE)
    (api,) = re.findall(r'^VERSION = "(.+)"', (ROOT / "api" / "app.py").read_text(), re.MULTILINE)
    assert {chart["version"], chart["appVersion"], *sdk, api} == {version}
    released = re.findall(r"^## (\S+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == version
