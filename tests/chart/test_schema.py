"""The schema of the values: strict everywhere, and of one mind with values.yaml and the README."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML carries no types
from chart.manifests import CHART, ROOT, refusal

from k8s import reference

CHARTS = {"": CHART, "postgresql": CHART / "charts" / "postgresql", "redis": CHART / "charts" / "redis"}
OF_SUBCHARTS = {"postgresql", "redis"}


def schema(name: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((CHARTS[name] / "values.schema.json").read_text())
    return made


def values(name: str) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((CHARTS[name] / "values.yaml").read_text())
    return made


def resolved(part: dict[str, Any], name: str) -> dict[str, Any]:
    while "$ref" in part:
        part = schema(name)["definitions"][part["$ref"].rpartition("/")[2]]
    return part


def objects(part: dict[str, Any], name: str, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the path and the schema of everything that may be a map, a list's items and a free map's values included."""
    part = resolved(part, name)
    types = part.get("type", ())
    if "object" in ([types] if isinstance(types, str) else types):
        yield at, part
    for key, one in part.get("properties", {}).items():
        yield from objects(one, name, (*at, key))
    if isinstance(part.get("additionalProperties"), dict):
        yield from objects(part["additionalProperties"], name, (*at, "x"))
    if isinstance(part.get("items"), dict):
        yield from objects(part["items"], name, (*at, "[]"))


def sure(part: dict[str, Any]) -> bool:
    """Return whether no key of it goes unchecked, or that is somebody else's business."""
    comment = part.get("$comment", "")
    return (
        part.get("additionalProperties") is False or isinstance(part.get("additionalProperties"), dict) or comment == "as in Kubernetes" or "schema" in comment
    )


@pytest.mark.parametrize("name", CHARTS)
def test_no_map_of_the_values_takes_unknown_keys(name: str) -> None:
    found = list(objects(schema(name), name))
    assert len(found) > 20
    assert [".".join(at) for at, part in found if not sure(part)] == []


PATHS = sorted(
    {".".join(at) for at, part in objects(schema(""), "") if part.get("additionalProperties") is False and "[]" not in at}
    | {
        f"{name}.{'.'.join(at)}".rstrip(".")
        for name in OF_SUBCHARTS
        for at, part in objects(schema(name), name)
        if part.get("additionalProperties") is False and "[]" not in at
    }
)


@pytest.mark.parametrize("path", PATHS)
def test_a_misspelt_key_is_refused_by_its_name(path: str) -> None:
    if path.startswith("worker.pools.x"):
        path = path.replace("worker.pools.x", "worker.pools.default")
    key = f"{path}.unheardof".lstrip(".")
    assert "additional properties 'unheardof' not allowed" in refusal(f"{key}=1")


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ("api.replicas=two", "at '/api/replicas': got string, want integer"),
        ("keda.trigger=rabbitmq", "at '/keda/trigger': value must be one of"),
        ("keda.fallback.replicas=0", "at '/keda/fallback/replicas': minimum: got 0, want 1"),
        ("worker.pools.default.queues={Bad}", "at '/worker/pools/default/queues/0': 'Bad' does not match pattern"),
        ("worker.pools.default.queues={a,a}", "at '/worker/pools/default/queues'"),
        ("worker.pools.other.concurrency=2", "missing property 'queues'"),
        ("worker.pools.Other.queues={a}", "'Other' does not match pattern"),
        ("worker.concurrency=0", "at '/worker/concurrency': minimum: got 0, want 1"),
        ("images.api.digest=latest", "at '/images/api/digest'"),
        ("settings.DATABASE_URL=x", "additional properties 'DATABASE_URL' not allowed"),
        ("settings.JOBPROC_GRACE_SECONDS=3", "additional properties 'JOBPROC_GRACE_SECONDS' not allowed"),
        ("settings.JOBPROC_RETENTION_DAY=3", "additional properties 'JOBPROC_RETENTION_DAY' not allowed"),
        ("redis.auth.password=a/b", "at '/auth/password': 'a/b' does not match pattern"),
    ],
)
def test_a_bad_value_is_refused_with_its_place(sets: str, said: str) -> None:
    assert said in refusal(sets)


@pytest.mark.parametrize("name", CHARTS)
def test_the_schema_and_the_defaults_have_the_same_keys(name: str) -> None:
    def compare(part: dict[str, Any], value: Any, at: str) -> Iterator[str]:
        part = resolved(part, name)
        if not isinstance(value, dict) or part.get("additionalProperties") is not False or at in skipped:
            return
        yield from (f"{at}.{key}: not in the schema" for key in value if key not in part["properties"])
        yield from (f"{at}.{key}: no default" for key in part["properties"] if key not in value and f"{at}.{key}" not in skipped)
        for key in set(value) & set(part["properties"]):
            yield from compare(part["properties"][key], value[key], f"{at}.{key}")

    # Maps of Kubernetes of which the defaults show a part, and a subchart's own switch, which its parent has.
    skipped = {".settings", ".podSecurityContext", ".securityContext", ".enabled", ".httpRoute.timeouts", ".keda.prometheus.authenticationRef"}
    skipped |= {f".{one}.{key}" for one in ("api", "worker", "controller", "migrate") for key in ("resources", "affinity")} | {".resources", ".affinity"}
    skipped |= {f".keda.behavior.{way}" for way in ("scaleUp", "scaleDown")} | {f".{one}" for one in OF_SUBCHARTS}
    assert list(compare(schema(name), values(name), "")) == []


@pytest.mark.parametrize("name", CHARTS)
def test_every_value_is_explained(name: str) -> None:
    explained = {path for path, _ in reference.documented((CHARTS[name] / "values.yaml").read_text())}

    def silent(value: Any, at: tuple[str, ...]) -> Iterator[str]:
        if at in explained or (name and at[:1] == ("global",)):
            return
        if isinstance(value, dict) and value:
            for key, one in value.items():
                yield from silent(one, (*at, key))
        else:
            yield ".".join(at)

    assert list(silent(values(name), ())) == []


@pytest.mark.parametrize("path", reference.FILES)
def test_the_generated_parts_are_those_of_this_version(path: str) -> None:
    assert (ROOT / path).read_text() == reference.FILES[path](), "run `make generate`"


def test_a_comment_over_several_lines_is_one_sentence() -> None:
    text = "a:\n  # -- First\n  # second.\n  b: 1\n# No documentation.\nc: 2\n\n# -- Of d.\n\nd: 3\n"
    assert list(reference.documented(text)) == [(("a", "b"), "First second.")]


def test_the_readme_names_nothing_that_is_not_there() -> None:
    for name in (
        "UPGRADING.md",
        "docs/howto/install.md",
        "docs/howto/scale.md",
        "docs/howto/upgrade.md",
        "docs/howto/external-services.md",
        "docs/howto/backup.md",
    ):
        assert name in (CHART / "README.md").read_text()
        assert (CHART / name).exists() or (Path(ROOT) / name).exists()
