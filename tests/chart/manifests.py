"""The rendered chart: `render("keda")` returns the objects of a topology in charts/jobproc/ci."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types

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
    "external secrets": ("examples/external-secrets",),
    "production": ("examples/production", "examples/cloudnativepg", "examples/managed-redis"),
}


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm. Skips the test if helm is not installed."""
    program = shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def template(*arguments: str, release: str = "jobproc") -> subprocess.CompletedProcess[str]:
    """Run `helm template` on the chart."""
    return helm("template", release, str(CHART), "--kube-version", KUBERNETES, "--namespace", NAMESPACE, *arguments)


def refusal(*sets: str) -> str:
    """Return helm's error message for values that the chart must reject."""
    done = template(*(part for value in sets for part in ("--set", value)))
    assert done.returncode != 0, f"{sets} are accepted"
    return done.stderr


@dataclass(frozen=True)
class Release:
    """The objects of a release."""

    objects: tuple[Object, ...]

    def all(self, kind: str) -> list[Object]:
        """Return the objects of a kind."""
        return [object_ for object_ in self.objects if object_["kind"] == kind]

    def names(self, kind: str) -> set[str]:
        """Return the names of the objects of a kind."""
        return {object_["metadata"]["name"] for object_ in self.all(kind)}

    def get(self, kind: str, name: str) -> Object:
        """Return an object by its kind and name."""
        matches = [object_ for object_ in self.all(kind) if object_["metadata"]["name"] == name]
        assert len(matches) == 1, f"{kind} {name}: {len(matches)} of {sorted(self.names(kind))}"
        return matches[0]

    def job(self) -> Object:
        """Return the Job of the migration."""
        (job,) = self.all("Job")
        return job

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Yield the name of each workload, and its pod."""
        for object_ in self.objects:
            if object_["kind"] == "Pod":
                yield object_["metadata"]["name"], object_
            elif object_["kind"] in {"Deployment", "StatefulSet", "Job"}:
                yield object_["metadata"]["name"], object_["spec"]["template"]


@cache
def _rendered(arguments: Sequence[str], release: str) -> Release:
    done = template(*arguments, release=release)
    assert done.returncode == 0, done.stderr
    return Release(tuple(object_ for object_ in yaml.safe_load_all(done.stdout) if object_))


def render(topology: str = "default", *sets: str, release: str = "jobproc") -> Release:
    """Return the objects of a topology or an example; `sets` are further values."""
    names = [f"k8s/{name}" for name in EXAMPLES.get(topology, ())] or [f"charts/jobproc/ci/{topology}"]
    files = [ROOT / f"{name}-values.yaml" for name in names]
    arguments = [part for file in files for part in ("--values", str(file))] + [
        part for value in sets for part in ("--set-json" if value.endswith("=[]") else "--set", value)
    ]
    return _rendered(tuple(arguments), release)


def containers(pod: Object) -> list[Object]:
    """Return all containers of a pod, init containers included."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(container: Object) -> dict[str, Any]:
    """Return the value or `valueFrom` of each variable of a container. Fails if a variable is set twice."""
    pairs = [
        (variable["name"], variable.get("value", variable.get("valueFrom"))) for variable in container.get("env", [])
    ]
    assert len(dict(pairs)) == len(pairs), f"a variable is set twice: {[name for name, _ in pairs]}"
    return dict(pairs)


def from_secret(name: str, key: str) -> Object:
    """Return the `valueFrom` of a variable that comes from a Secret."""
    return {"secretKeyRef": {"name": name, "key": key}}


def selects(selector: dict[str, str], pod: Object) -> bool:
    """Return True if a pod has all labels of a selector that is not empty."""
    return bool(selector) and selector.items() <= pod["metadata"]["labels"].items()
