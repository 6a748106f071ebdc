"""The OpenAPI document: FastAPI's own, completed in four steps with what the framework does not know."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.openapi.examples import add_examples
from api.openapi.links import add_links
from api.submit.parsing import BODIES, REF
from api.views.bulk_actions import BulkActionBody
from api.web.problems import MEDIA_TYPE


def install(app: FastAPI) -> None:
    """Make the app serve the completed document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        _keep_only_problems(document)
        _add_request_models(document)
        add_examples(document)
        add_links(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change it


def _keep_only_problems(document: dict[str, Any]) -> None:
    """Remove the plain JSON form of each problem, which FastAPI adds beside application/problem+json."""
    for route in (route for path in document["paths"].values() for route in path.values()):
        for response in route["responses"].values():
            if MEDIA_TYPE in response.get("content", {}):
                response["content"].pop("application/json", None)


def _add_request_models(document: dict[str, Any]) -> None:
    """Add the models of request bodies: their routes read bodies themselves, so the framework does not know them."""
    bodies: tuple[type[BaseModel], ...] = (*BODIES, BulkActionBody)
    _, models = models_json_schema([(body, "validation") for body in bodies], ref_template=REF)
    document["components"]["schemas"] = dict(sorted((document["components"]["schemas"] | models["$defs"]).items()))
