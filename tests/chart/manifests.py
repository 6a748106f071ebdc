"""The chart, rendered: `render("keda")` gives the objects of a topology of charts/jobproc/ci."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML carries no types

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "jobproc"
KUBERNETES = "1.34.0"
NAMESPACE = "jobs"
Object = dict[str, Any]

TOPOLOGIES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
EXAMPLES = {
    "dev": ("dev",),
    "ci": ("ci",),
    "dev with KEDA": ("dev", "keda"),
    "production": ("examples/production", "examples/cloudnativepg", "examples/managed-redis"),
}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm; skips the test where there is none."""
    program = shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def template(*arguments: str, release: str = "jobproc") -> subprocess.CompletedProcess[str]:
    """Run `helm template` on the chart."""
    return helm("template", release, str(CHART), "--kube-version", KUBERNETES, "--namespace", NAMESPACE, *arguments)


def refusal(*sets: str) -> str:
    """Return what helm says to values that it must refuse."""
    done = template(*(part for one in sets for part in ("--set", one)))
    assert done.returncode != 0, f"{sets} are taken"
    return done.stderr


@dataclass(frozen=True)
class Release:
    """The objects of a release."""

    objects: tuple[Object, ...]

    def all(self, kind: str) -> list[Object]:
        """Return the objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def names(self, kind: str) -> set[str]:
        """Return the names of the objects of a kind."""
        return {one["metadata"]["name"] for one in self.all(kind)}

    def one(self, kind: str, name: str) -> Object:
        """Return an object."""
        found = [one for one in self.all(kind) if one["metadata"]["name"] == name]
        assert len(found) == 1, f"{kind} {name}: {len(found)} of {sorted(self.names(kind))}"
        return found[0]

    def job(self) -> Object:
        """Return the migration."""
        (job,) = self.all("Job")
        return job

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Yield the name of each workload, and its pod."""
        for one in self.objects:
            if one["kind"] == "Pod":
                yield one["metadata"]["name"], one
            elif one["kind"] in {"Deployment", "StatefulSet", "Job"}:
                yield one["metadata"]["name"], one["spec"]["template"]


@cache
def _rendered(arguments: Sequence[str], release: str) -> Release:
    done = template(*arguments, release=release)
    assert done.returncode == 0, done.stderr
    return Release(tuple(one for one in yaml.safe_load_all(done.stdout) if one))


def render(topology: str = "default", *sets: str, release: str = "jobproc") -> Release:
    """Return the objects of a topology or an example, with further values."""
    names = [f"k8s/{name}" for name in EXAMPLES.get(topology, ())] or [f"charts/jobproc/ci/{topology}"]
    files = [ROOT / f"{name}-values.yaml" for name in names]
    arguments = [part for file in files for part in ("--values", str(file))] + [part for one in sets for part in ("--set", one)]
    return _rendered(tuple(arguments), release)


def containers(pod: Object) -> list[Object]:
    """Return all containers of a pod, those that run first included."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(container: Object) -> dict[str, Any]:
    """Return the variables of a container: their text, or where it comes from. A variable is there once."""
    pairs = [(one["name"], one.get("value", one.get("valueFrom"))) for one in container.get("env", [])]
    assert len(dict(pairs)) == len(pairs), f"a variable is set twice: {[name for name, _ in pairs]}"
    return dict(pairs)


def from_secret(name: str, key: str) -> Object:
    """Return where a variable comes from that a Secret holds."""
    return {"secretKeyRef": {"name": name, "key": key}}


def selects(selector: dict[str, str], pod: Object) -> bool:
    """Return whether labels are among those of a pod."""
    return bool(selector) and selector.items() <= pod["metadata"]["labels"].items()
