"""The schema of the values: strict everywhere, and consistent with values.yaml and the README."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from chart.manifests import CHART, ROOT, refusal

from k8s import reference

CHARTS = {"": CHART, "postgresql": CHART / "charts" / "postgresql", "redis": CHART / "charts" / "redis"}
SUBCHARTS = {"postgresql", "redis"}


def schema(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((CHARTS[name] / "values.schema.json").read_text())
    return document


def values(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CHARTS[name] / "values.yaml").read_text())
    return document


def resolved(part: dict[str, Any], name: str) -> dict[str, Any]:
    while "$ref" in part:
        part = schema(name)["definitions"][part["$ref"].rpartition("/")[2]]
    return part


def maps(
    part: dict[str, Any], name: str, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the path and the schema of every value that may be a map, in lists and in maps with free keys too."""
    part = resolved(part, name)
    types = part.get("type", ())
    if "object" in ([types] if isinstance(types, str) else types):
        yield path, part
    for key, value in part.get("properties", {}).items():
        yield from maps(value, name, (*path, key))
    if isinstance(part.get("additionalProperties"), dict):
        yield from maps(part["additionalProperties"], name, (*path, "x"))
    if isinstance(part.get("items"), dict):
        yield from maps(part["items"], name, (*path, "[]"))


def is_strict(part: dict[str, Any]) -> bool:
    """Return True if all keys of a map are checked, here or by Kubernetes or another schema."""
    comment = part.get("$comment", "")
    return (
        part.get("additionalProperties") is False
        or isinstance(part.get("additionalProperties"), dict)
        or comment == "as in Kubernetes"
        or "schema" in comment
    )


@pytest.mark.parametrize("name", CHARTS)
def test_no_map_of_the_values_accepts_unknown_keys(name: str) -> None:
    pairs = list(maps(schema(name), name))
    assert len(pairs) > 20
    assert [".".join(path) for path, part in pairs if not is_strict(part)] == []


PATHS = sorted(
    {
        ".".join(path)
        for path, part in maps(schema(""), "")
        if part.get("additionalProperties") is False and "[]" not in path
    }
    | {
        f"{name}.{'.'.join(path)}".rstrip(".")
        for name in SUBCHARTS
        for path, part in maps(schema(name), name)
        if part.get("additionalProperties") is False and "[]" not in path
    }
)


@pytest.mark.needs("helm")
@pytest.mark.parametrize("path", PATHS)
def test_a_misspelt_key_is_rejected_by_its_name(path: str) -> None:
    if path.startswith("worker.pools.x"):
        path = path.replace("worker.pools.x", "worker.pools.default")
    key = f"{path}.unheardof".lstrip(".")
    assert "additional properties 'unheardof' not allowed" in refusal(f"{key}=1")


@pytest.mark.needs("helm")
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("api.replicas=two", "at '/api/replicas': got string, want integer"),
        ("keda.trigger=rabbitmq", "at '/keda/trigger': value must be one of"),
        ("keda.fallback.replicas=0", "at '/keda/fallback/replicas': minimum: got 0, want 1"),
        ("worker.pools.default.queues={Bad}", "at '/worker/pools/default/queues/0': 'Bad' does not match pattern"),
        ("worker.pools.default.queues={a,a}", "at '/worker/pools/default/queues'"),
        ("worker.pools.other.concurrency=2", "missing property 'queues'"),
        ("worker.pools.Other.queues={a}", "'Other' does not match pattern"),
        ("worker.concurrency=0", "at '/worker/concurrency': minimum: got 0, want 1"),
        ("api.allowedHosts={https://jobs.example}", "at '/api/allowedHosts/0': 'https://jobs.example' does not match"),
        ("settings.JOBPROC_ALLOWED_HOSTS=x", "additional properties 'JOBPROC_ALLOWED_HOSTS' not allowed"),
        ("images.api.digest=latest", "at '/images/api/digest'"),
        ("settings.DATABASE_URL=x", "additional properties 'DATABASE_URL' not allowed"),
        (
            "settings.JOBPROC_SHUTDOWN_GRACE_SECONDS=3",
            "additional properties 'JOBPROC_SHUTDOWN_GRACE_SECONDS' not allowed",
        ),
        ("settings.JOBPROC_RETENTION_DAY=3", "additional properties 'JOBPROC_RETENTION_DAY' not allowed"),
        ("redis.auth.password=a/b", "at '/auth/password': 'a/b' does not match pattern"),
    ],
)
def test_an_invalid_value_is_rejected_with_its_path(value: str, message: str) -> None:
    assert message in refusal(value)


@pytest.mark.parametrize("name", CHARTS)
def test_the_schema_and_the_defaults_have_the_same_keys(name: str) -> None:
    def differences(part: dict[str, Any], value: Any, path: str) -> Iterator[str]:
        part = resolved(part, name)
        if not isinstance(value, dict) or part.get("additionalProperties") is not False or path in skipped:
            return
        yield from (f"{path}.{key}: not in the schema" for key in value if key not in part["properties"])
        yield from (
            f"{path}.{key}: no default"
            for key in part["properties"]
            if key not in value and f"{path}.{key}" not in skipped
        )
        for key in set(value) & set(part["properties"]):
            yield from differences(part["properties"][key], value[key], f"{path}.{key}")

    # Maps of Kubernetes whose defaults are partial, and the subcharts' `enabled`, which the parent chart sets.
    skipped = {
        ".settings",
        ".podSecurityContext",
        ".securityContext",
        ".enabled",
        ".httpRoute.timeouts",
        ".keda.prometheus.authenticationRef",
    }
    components = ("api", "worker", "controller", "migrate")
    skipped |= {f".{component}.{key}" for component in components for key in ("resources", "affinity")}
    skipped |= {".resources", ".affinity", ".keda.behavior.scaleUp", ".keda.behavior.scaleDown"}
    skipped |= {f".{subchart}" for subchart in SUBCHARTS}
    assert list(differences(schema(name), values(name), "")) == []


@pytest.mark.parametrize("name", CHARTS)
def test_every_value_is_documented(name: str) -> None:
    documented = {path for path, _ in reference.documented((CHARTS[name] / "values.yaml").read_text())}

    def undocumented(value: Any, path: tuple[str, ...]) -> Iterator[str]:
        if path in documented or (name and path[:1] == ("global",)):
            return
        if isinstance(value, dict) and value:
            for key, item in value.items():
                yield from undocumented(item, (*path, key))
        else:
            yield ".".join(path)

    assert list(undocumented(values(name), ())) == []


@pytest.mark.parametrize("path", reference.FILES)
def test_the_generated_parts_are_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text() == reference.FILES[path](), "run `make generate`"


def test_a_comment_over_several_lines_is_one_text() -> None:
    text = "a:\n  # -- First\n  # second.\n  b: 1\n# No documentation.\nc: 2\n\n# -- Of d.\n\nd: 3\n"
    assert list(reference.documented(text)) == [(("a", "b"), "First second.")]


def test_the_documents_that_the_readme_names_exist() -> None:
    for name in (
        "UPGRADING.md",
        "docs/howto/install.md",
        "docs/howto/scale.md",
        "docs/howto/upgrade.md",
        "docs/howto/external-services.md",
        "docs/howto/backup.md",
        "docs/operate/authentication.md",
        "docs/operate/network-policies.md",
        "docs/operate/tls.md",
        "docs/howto/external-secrets.md",
    ):
        assert name in (CHART / "README.md").read_text()
        assert (CHART / name).exists() or (Path(ROOT) / name).exists()
