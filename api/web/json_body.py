"""Request bodies in the OpenAPI document, of routes that read their bodies themselves."""

from typing import Any

from pydantic import BaseModel


def json_body(model: type[BaseModel], *, required: bool) -> dict[str, Any]:
    """Return the `openapi_extra` of a route with a JSON body of this model."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}
