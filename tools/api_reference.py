"""The reference of the HTTP API as a page, from the OpenAPI document."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
SCHEMAS = "#/components/schemas/"
INTRODUCTION = """# HTTP API

The same reference, with a form to try each request, is at `/docs` of a running API; `/openapi.json` is the OpenAPI 3.1
document, from which [clients can be generated](../howto/clients.md). Responses of 400 or more are
[problems](errors.md). Each request may also get one of {common}.
"""


def reference(document: Mapping[str, Any]) -> str:
    """Return the page: the requests by their path, then the objects of bodies and responses."""
    requests = [
        (f"{method.upper()} {path}", item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]
    common = set.intersection(*(_errors(request) for _, request in requests))
    schemas = document["components"]["schemas"]
    listed = ", ".join(f"`{status}`" for status in sorted(common))
    parts = [
        INTRODUCTION.format(common=listed),
        *(_request(title, request, common) for title, request in requests),
        "## Objects\n",
        *(_object(name, schema) for name, schema in schemas.items()),
    ]
    return "\n".join(parts)


def _errors(request: Mapping[str, Any]) -> set[str]:
    return {status for status in request["responses"] if int(status) >= 400}  # noqa: PLR2004 - HTTP's errors


def _request(title: str, request: Mapping[str, Any], common: set[str]) -> str:
    lines = [f"## {title}", "", request["description"], ""]
    if parameters := request.get("parameters"):
        lines += ["| parameter | in | type | meaning |", "|---|---|---|---|"]
        lines += [
            _row(_named(parameter), parameter["in"], _type(parameter["schema"]), _meaning(parameter))
            for parameter in parameters
        ]
        lines.append("")
    if body := request.get("requestBody"):
        lines += [f"Body: {_type(_schema(body))}{'' if body.get('required') else ', optional'}.", ""]
    lines += ["| status | response | meaning |", "|---|---|---|"]
    for status, response in sorted(request["responses"].items()):
        if status not in common:
            lines.append(_row(f"`{status}`", _type(_schema(response)), response["description"]))
    return "\n".join([*lines, "", *_example(request)])


def _example(request: Mapping[str, Any]) -> Iterable[str]:
    """Return the first example of a success as a block of code."""
    for status, response in sorted(request["responses"].items()):
        for media in response.get("content", {}).values() if int(status) < 300 else ():  # noqa: PLR2004 - a success
            for example in media.get("examples", {}).values():
                value = example["value"]
                text = value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)
                return ["```", *text.strip().splitlines(), "```", ""]
    return []


def _object(name: str, schema: Mapping[str, Any]) -> str:
    lines = [f"### {name}", ""]
    if description := schema.get("description"):
        lines += [description, ""]
    if values := schema.get("enum"):
        return "\n".join([*lines, "One of " + ", ".join(f"`{value}`" for value in values) + ".", ""])
    required = schema.get("required", ())
    lines += ["| member | type | meaning |", "|---|---|---|"]
    for member, part in schema.get("properties", {}).items():
        mark = "" if member in required else " (optional)"
        lines.append(_row(f"`{member}`{mark}", _type(part), _meaning(part)))
    return "\n".join([*lines, ""])


def _schema(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a body or a response; empty if it has none."""
    return next((media.get("schema", {}) for media in holder.get("content", {}).values()), {})


def _type(schema: Mapping[str, Any]) -> str:
    """Return a type in a few words, with a link for each object."""
    if reference := schema.get("$ref"):
        name = reference.removeprefix(SCHEMAS)
        return f"[{name}](#{name.lower()})"
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(choice) for choice in choices))
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{value}`" for value in values)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"object of {_type(values)}"
    kind = schema.get("type", "")
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind) or ("any JSON" if schema else "")


def _meaning(part: Mapping[str, Any]) -> str:
    return str(part.get("description") or part.get("schema", {}).get("description") or "")


def _named(parameter: Mapping[str, Any]) -> str:
    return f"`{parameter['name']}`" + ("" if parameter.get("required") else " (optional)")


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
