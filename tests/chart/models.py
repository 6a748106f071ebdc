"""Whether an object is one that Kubernetes takes: every field is known, has its type, and none is missing."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from kubernetes import client

MODELS = {
    "apps/v1": "V1",
    "autoscaling/v2": "V2",
    "batch/v1": "V1",
    "networking.k8s.io/v1": "V1",
    "policy/v1": "V1",
    "rbac.authorization.k8s.io/v1": "V1",
    "v1": "V1",
}
PLAIN: dict[str, Any] = {"str": str, "int": int, "bool": bool, "float": (int, float), "datetime": (str, datetime), "bytes": str, "object": object}


def unfit(thing: dict[str, Any]) -> list[str]:
    """Return what Kubernetes would say against an object; one of a custom resource is not looked at."""
    prefix = MODELS.get(thing["apiVersion"])
    if prefix is None:
        return []
    model = prefix + thing["kind"]
    found = list(_unknown(thing, model, thing["kind"]))
    if not found:
        try:
            client.ApiClient().deserialize(json.dumps(thing), model, "application/json")
        except ValueError as error:
            found = [f"{thing['kind']}: {error}"]
    return found


def _unknown(value: Any, model: str, at: str) -> Iterator[str]:
    if model in PLAIN:
        if not isinstance(value, PLAIN[model]) or (model == "int" and isinstance(value, bool)):
            yield f"{at}: {value!r} is no {model}"
    elif inner := re.fullmatch(r"List\[(.*)\]", model):
        yield from _in_list(value, inner[1], at)
    elif not isinstance(value, dict):
        yield f"{at}: a map is expected, not {value!r}"
    elif inner := re.fullmatch(r"Dict\[str, (.*)\]", model):
        for key, one in value.items():
            yield from _unknown(one, inner[1], f"{at}.{key}")
    else:
        yield from _in_model(value, getattr(client, model), at)


def _in_list(value: Any, model: str, at: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{at}: a list is expected, not {value!r}"
        return
    for number, one in enumerate(value):
        yield from _unknown(one, model, f"{at}[{number}]")


def _in_model(value: dict[str, Any], model: Any, at: str) -> Iterator[str]:
    fields = {json_name: model.openapi_types[name] for name, json_name in model.attribute_map.items()}
    for key, one in value.items():
        if key in fields:
            yield from _unknown(one, fields[key], f"{at}.{key}")
        else:
            yield f"{at}.{key}: no such field"
