"""The OpenAPI document's operations and the examples that it shows of requests and responses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from jsonschema_rs import validator_for

ROOT = Path(__file__).resolve().parents[4]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text())
WITHOUT_BODY = {"204", "304"}  # statuses that have no example
#: Parameters whose values are those of what a test has made.
SERVER_MADE = {
    "queue_name",
    "job_id",
    "batch_id",
    "workflow_id",
    "bulk_action_id",
    "cursor",
    "key_id",
    "tenant_name",
    "schedule_id",
    "endpoint_id",
    "delivery_id",
}
#: Members that are equal in an example and in the real response.
SAME = {"status", "code", "type", "title", "cancel_requested", "ready", "ok", "state"}
FREE = {
    "metadata",
    "input",
    "input_schema",
    "output_schema",
    "details",
}  # members whose content the client or the operation chooses

Operation = tuple[str, str]  # method and path
OPERATIONS: dict[Operation, dict[str, Any]] = {
    (method, path): operation for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
}


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that a reference points to, or the schema itself."""
    target: dict[str, Any] = (
        DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
    )
    return target


def schema_examples(schema: dict[str, Any]) -> list[Any]:
    """Return the examples of a schema and of its alternatives (`anyOf`)."""
    schema = resolve(schema)
    return [
        *schema.get("examples", []),
        *(example for kind in schema.get("anyOf", []) for example in resolve(kind).get("examples", [])),
    ]


def body_examples(operation: Operation) -> list[Any]:
    """Return the examples of an operation's request body."""
    return [
        example
        for media in OPERATIONS[operation].get("requestBody", {}).get("content", {}).values()
        for example in schema_examples(media["schema"])
    ]


def parameter_examples(parameter: dict[str, Any]) -> list[Any]:
    """Return the example values of a parameter."""
    values = [example["value"] for example in parameter.get("examples", {}).values()]
    return values or schema_examples(parameter["schema"])


def response_examples(operation: Operation, status: str) -> dict[str, Any]:
    """Return the examples of a response by their names."""
    contents = OPERATIONS[operation]["responses"][status].get("content", {}).values()
    return {name: example["value"] for media in contents for name, example in media.get("examples", {}).items()}


def documented_responses() -> Iterator[tuple[Operation, str, str, Any]]:
    """Yield operation, status, name and value of each example of a response. Without a body: an empty name and None."""
    for operation, description in OPERATIONS.items():
        for status in description["responses"]:
            examples = {"": None} if status in WITHOUT_BODY else response_examples(operation, status)
            yield from ((operation, status, name, value) for name, value in examples.items())


def documented_requests() -> Iterator[tuple[Operation, dict[str, Any]]]:
    """Yield each example of a request: a body, or a parameter together with the first body."""
    for operation, description in OPERATIONS.items():
        bodies = body_examples(operation)
        yield from ((operation, {"json": body}) for body in bodies)
        for parameter in description.get("parameters", []):
            if parameter["name"] not in SERVER_MADE:
                place = {"query": "params", "header": "headers"}[parameter["in"]]
                yield from (
                    (operation, {place: {parameter["name"]: value}} | ({"json": bodies[0]} if bodies else {}))
                    for value in parameter_examples(parameter)
                )


def valid_body(operation: Operation, response: httpx.Response) -> Any:
    """Return a response's body; check that its status, media type and body are as documented."""
    description = OPERATIONS[operation]["responses"][str(response.status_code)]
    if str(response.status_code) in WITHOUT_BODY:
        assert not response.content
        return None
    media = response.headers["content-type"].partition(";")[0]
    assert media in description["content"]
    if media == "text/event-stream":
        return response.text
    body = response.json()
    validator_for(
        {**description["content"][media]["schema"], "components": DOCUMENT["components"]}, validate_formats=True
    ).validate(body)
    return body


def differences(example: Any, body: Any, at: str = "") -> Iterator[str]:
    """Yield the members that only an example or only a real body has, and the differing values of `SAME` members."""
    name = at.rpartition(".")[2]
    if isinstance(example, dict) and isinstance(body, dict) and name not in FREE:
        yield from (f"{at}.{member} is in only one of them" for member in set(example) ^ set(body))
        for member in set(example) & set(body):
            yield from differences(example[member], body[member], f"{at}.{member}")
    elif isinstance(example, list) and isinstance(body, list) and example and body:
        yield from differences(example[0], body[0], at)
    elif name in SAME and example != body and not {"error", "links"} & set(at.split(".")):
        yield f"{at}: {example} is documented, {body} was received"
