"""The OpenAPI document: its form is valid, every response has a model, and every error a problem with an example."""

import json
import re
from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest
import schemathesis
from pydantic import BaseModel
from unit.api.route_problems import ROUTES

from api.app import create_app
from api.submit.request_models import InputSubmission, Submission
from api.web.problems import MEDIA_TYPE, ProblemBody
from api.web.resource_problem_kinds import PROBLEM_KINDS
from common.settings import Settings


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return the document as it is sent, parsed from its JSON."""
    return dict(json.loads(json.dumps(create_app(Settings()).openapi())))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects_in(inner)


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return dict(document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]) if "$ref" in schema else schema


def test_the_document_has_the_form_of_openapi_3_1(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] == "jobproc"
    assert document["info"]["version"]
    assert all(path.startswith("/") for path in document["paths"])


def test_every_reference_resolves_and_every_schema_is_used(document: dict[str, Any]) -> None:
    references = {item["$ref"] for item in objects_in(document) if "$ref" in item}
    assert references == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_no_two_schemas_have_one_name_in_a_generated_client(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert all(schema["title"] == name for name, schema in schemas.items())
    assert len({name.lower() for name in schemas}) == len(schemas)


def test_nothing_that_clients_send_has_a_default(document: dict[str, Any]) -> None:
    """Generators take a default for a value that is always there: types require it, and clients send it always."""
    sent = {"Submission", "InputSubmission", "UniqueKey", "Backoff", "RetryBody"}
    sent |= {"BulkActionBody", "BulkActionFilter", "BulkActionStartBody"}
    schemas = [document["components"]["schemas"][name] for name in sent]
    members = [member for schema in schemas for member in schema["properties"].values()]
    parameters = [item for _, _, operation in operations(document) for item in operation.get("parameters", [])]
    assert members and parameters
    assert not [schema for schema in (*members, *(item["schema"] for item in parameters)) if "default" in schema]


def test_every_parameter_of_a_path_is_declared(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        declared = {
            parameter["name"]
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "path" and parameter["required"] and parameter["schema"]
        }
        assert declared == set(re.findall(r"{(\w+)}", path)), (method, path)


def test_every_operation_has_a_unique_id_and_a_description(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert all(operation["summary"] and operation["description"] for _, _, operation in operations(document))


def test_every_field_of_the_list_of_operations_is_described(document: dict[str, Any]) -> None:
    schemas, found = document["components"]["schemas"], ["OperationList"]
    for name in found:
        for item in objects_in(schemas[name]):
            reference = item.get("$ref", "").rpartition("/")[2]
            found += [reference] if reference and reference not in found else []
        fields = {field: resolve(document, schema) for field, schema in schemas[name]["properties"].items()}
        assert [field for field, schema in fields.items() if "description" not in schema] == []
    assert len(found) == 6


def test_keywords_of_schemas_are_those_of_json_schema_2020_12(document: dict[str, Any]) -> None:
    """Refuse the keywords of OpenAPI 3.0: `nullable`, a boolean `exclusiveMinimum`, a bare `example`."""
    for schema in objects_in(document["components"]["schemas"]):
        assert not {"nullable", "example", "discriminator"} & set(schema)
        assert not any(isinstance(schema.get(name), bool) for name in ("exclusiveMinimum", "exclusiveMaximum"))
        assert isinstance(schema.get("required", []), list | dict)


#: By schema, the members that are absent at times.
OPTIONAL = {"StatusView": {"progress"}, "SubmittedJob": {"result", "error"}, "ResultView": {"error"}}
OPTIONAL |= {"BatchAccepted": {"jobs", "ranges", "refused", "complete"}}
EVENTS, LOGS = "/jobs/{job_id}/events", "/jobs/{job_id}/logs"
SUCCESSES = {
    ("post", "/jobs/{job_id}/retry"): {"202"},
    ("post", "/batches"): {"201"},
    ("post", "/batches/{batch_id}/close"): {"200"},
    ("post", "/batches/{batch_id}/cancel"): {"200"},
    ("post", "/workflows/{workflow_id}/cancel"): {"200"},
    ("post", "/workflows/{workflow_id}/retry"): {"200"},
    ("post", "/bulk-actions"): {"201"},
    ("post", "/console/session"): {"201", "204"},
    ("delete", "/console/session"): {"204"},
    ("post", "/keys"): {"201"},
    ("post", "/keys/{key_id}/rotate"): {"201"},
    ("post", "/keys/{key_id}/revoke"): {"200"},
    ("post", "/tenants"): {"201"},
    ("patch", "/tenants/{tenant_name}"): {"200"},
    **{("post", f"/tenants/{{tenant_name}}/{verb}"): {"200"} for verb in ("suspend", "resume", "drain", "remove")},
    ("get", LOGS): {"200", "204"},
    ("patch", "/queues/{queue_name}"): {"200"},
    **{("post", f"/queues/{{queue_name}}/{verb}"): {"200"} for verb in ("pause", "resume")},
    ("post", "/schedules"): {"201"},
    ("patch", "/schedules/{schedule_id}"): {"200"},
    ("delete", "/schedules/{schedule_id}"): {"204"},
    **{("post", f"/schedules/{{schedule_id}}/{verb}"): {"200"} for verb in ("pause", "resume")},
    ("post", "/jobs/results"): {"200"},
    ("post", "/jobs/validate"): {"200"},
    ("post", "/schedules/{schedule_id}/run"): {"202"},
    ("post", "/webhooks/endpoints"): {"201"},
    ("patch", "/webhooks/endpoints/{endpoint_id}"): {"200"},
    ("delete", "/webhooks/endpoints/{endpoint_id}"): {"204"},
    ("post", "/webhooks/endpoints/{endpoint_id}/rotate"): {"200"},
    ("post", "/webhooks/endpoints/{endpoint_id}/test"): {"202"},
    ("post", "/webhooks/deliveries/{delivery_id}/redeliver"): {"202"},
}


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if not route[1].endswith(("/events", "/live"))])
def test_every_success_has_a_model(document: dict[str, Any], method: str, path: str) -> None:
    responses = document["paths"][path][method]["responses"]
    successes = {status for status in responses if status.startswith("2")}
    assert successes == SUCCESSES.get(
        (method, path), {"200"} if method == "get" or path.startswith("/bulk-actions/") else {"200", "202"}
    )
    for success in successes - {"204"}:
        body = responses[success]["content"]["application/json"]["schema"]
        assert set(body) == {"$ref"}, "one model a status: clients read a body as the first of several that fits"
        schema = resolve(document, body)
        assert schema["type"] == "object"
        assert schema["properties"]
        assert set(schema["required"]) == set(schema["properties"]) - OPTIONAL.get(schema["title"], set())


def test_the_event_stream_has_an_example_and_a_204_for_a_job_whose_end_is_known(document: dict[str, Any]) -> None:
    responses = document["paths"][EVENTS]["get"]["responses"]
    assert set(responses["200"]["content"]) == {"text/event-stream"}
    assert responses["200"]["content"]["text/event-stream"]["examples"]
    assert "content" not in responses["204"]


def test_query_parameters_and_headers_are_declared(document: dict[str, Any]) -> None:
    declared = {
        (method, path): {
            parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] != "path"
        }
        for method, path, operation in operations(document)
    }
    assert declared["post", "/jobs/"] == {"Idempotency-Key", "wait"}
    assert declared["post", "/jobs/batch"] == {"Idempotency-Key", "atomic"}
    assert declared["get", "/jobs/{job_id}/result"] == {"wait"}
    assert declared["get", EVENTS] == {"Last-Event-ID"}
    assert declared["get", LOGS] == {"run", "attempt", "limit", "cursor", "follow", "Last-Event-ID"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_error_of_a_route_is_a_problem_with_an_example(document: dict[str, Any], method: str, path: str) -> None:
    kinds = {kind.name: kind for kind in PROBLEM_KINDS}
    documented = set()
    for status, response in document["paths"][path][method]["responses"].items():
        if status.startswith("2"):
            continue
        if status == "304":
            assert "content" not in response
            continue
        assert set(response["content"]) == {MEDIA_TYPE}, "errors are problems and nothing else"
        media = response["content"][MEDIA_TYPE]
        assert {"type", "title", "status", "detail"} <= set(resolve(document, media["schema"])["properties"])
        assert media["examples"]
        for name, example in media["examples"].items():
            body = ProblemBody.model_validate(example["value"])
            assert (body.type, body.title, body.status) == (kinds[name].type, kinds[name].title, int(status))
            documented.add(name)
    everywhere = {"internal", "host-not-allowed"} | ({"origin-not-allowed"} if method != "get" else set())
    if document["paths"][path][method].get("security"):
        everywhere |= {"unauthenticated", "scope-missing", "tenant-suspended", "rate-limited", "issuer-unavailable"}
    assert documented == ROUTES[method, path] | everywhere


def test_the_document_has_these_routes_and_no_other(document: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(document)} == set(ROUTES)


@pytest.mark.parametrize("path", ["/jobs/", "/jobs/batch"])
def test_request_bodies_are_described_and_their_examples_are_valid_submissions(
    document: dict[str, Any], path: str
) -> None:
    body = document["paths"][path]["post"]["requestBody"]
    assert body["required"] is True
    schema = body["content"]["application/json"]["schema"]
    if path == "/jobs/batch":  # an array, or an object with it
        schema, with_follow_up = schema["anyOf"]
        assert with_follow_up["properties"]["jobs"]["items"] == schema["items"]
    for example in schema.get("examples", []):
        for submission in example:
            Submission.model_validate(submission)
    kinds = [resolve(document, kind) for kind in (schema["items"] if path == "/jobs/batch" else schema)["anyOf"]]
    models: list[type[BaseModel]] = [Submission, InputSubmission]
    for kind, model, required in zip(kinds, models, ({"data", "operation"}, {"operation"}), strict=True):
        assert [model.model_validate(example) for example in kind["examples"]]
        assert kind["additionalProperties"] is False
        assert set(kind["required"]) == required
    assert kinds[0]["properties"]["data"]["minItems"] == 1


def test_links_lead_from_members_of_a_response_to_operations_with_that_parameter(document: dict[str, Any]) -> None:
    by_id = {operation["operationId"]: (path, operation) for _, path, operation in operations(document)}
    job_paths = {path for path in document["paths"] if path.startswith("/jobs/{job_id}")}
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            links = response.get("links", {})
            for link in links.values():
                parameters = {parameter["name"] for parameter in by_id[link["operationId"]][1]["parameters"]}
                assert set(link["parameters"]) <= parameters
                pointers = [
                    pointer.removeprefix("$response.body#/").split("#")[0]
                    for pointer in link["parameters"].values()
                    if pointer.startswith("$response")
                ]
                assert pointers
                for example in response["content"]["application/json"]["examples"].values():
                    assert all(reduce(_member, pointer.split("/"), example["value"]) for pointer in pointers), (
                        method,
                        path,
                        status,
                    )
            assert {by_id[link["operationId"]][0] for link in links.values()} - {"/jobs/"} in (set(), job_paths)
    assert "links" in document["paths"]["/jobs/"]["post"]["responses"]["202"]


def _member(value: Any, name: str) -> Any:
    return value[int(name)] if isinstance(value, list) else value[name]


def test_the_states_on_the_wire_are_listed(document: dict[str, Any]) -> None:
    states = document["components"]["schemas"]["State"]["enum"]
    assert set(states) == {
        *("SCHEDULED", "BLOCKED", "PENDING", "IN_PROGRESS", "RETRYING"),
        *("SUCCESS", "FAILED", "CANCELLED"),
    }


def test_the_document_is_the_same_each_time_it_is_made() -> None:
    """The document is committed and compared, so nothing in it may depend on the order of a set."""
    first, second = (json.dumps(create_app(Settings()).openapi()) for _ in range(2))
    assert first == second
