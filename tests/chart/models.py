"""Validation of objects against Kubernetes' models: every field is known, has its type, and none is missing."""

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
PLAIN: dict[str, Any] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "datetime": (str, datetime),
    "bytes": str,
    "object": object,
}


def errors(object_: dict[str, Any]) -> list[str]:
    """Return the errors that Kubernetes would report for an object. Custom resources are not checked."""
    prefix = MODELS.get(object_["apiVersion"])
    if prefix is None:
        return []
    model = prefix + object_["kind"]
    messages = list(_errors_in_value(object_, model, object_["kind"]))
    if not messages:
        try:
            client.ApiClient().deserialize(json.dumps(object_), model, "application/json")
        except ValueError as error:
            messages = [f"{object_['kind']}: {error}"]
    return messages


def _errors_in_value(value: Any, model: str, path: str) -> Iterator[str]:
    if model in PLAIN:
        if not isinstance(value, PLAIN[model]) or (model == "int" and isinstance(value, bool)):
            yield f"{path}: {value!r} is no {model}"
    elif inner := re.fullmatch(r"List\[(.*)\]", model):
        yield from _errors_in_list(value, inner[1], path)
    elif not isinstance(value, dict):
        yield f"{path}: a map is expected, not {value!r}"
    elif inner := re.fullmatch(r"Dict\[str, (.*)\]", model):
        for key, item in value.items():
            yield from _errors_in_value(item, inner[1], f"{path}.{key}")
    else:
        yield from _errors_in_model(value, getattr(client, model), path)


def _errors_in_list(value: Any, model: str, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: a list is expected, not {value!r}"
        return
    for number, item in enumerate(value):
        yield from _errors_in_value(item, model, f"{path}[{number}]")


def _errors_in_model(value: dict[str, Any], model: Any, path: str) -> Iterator[str]:
    fields = {json_name: model.openapi_types[name] for name, json_name in model.attribute_map.items()}
    for key, item in value.items():
        if key in fields:
            yield from _errors_in_value(item, fields[key], f"{path}.{key}")
        else:
            yield f"{path}.{key}: no such field"
