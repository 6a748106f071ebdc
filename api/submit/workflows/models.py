"""The request body of POST /workflows. Its docstrings and descriptions are API documentation."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.submit.batches.ndjson import MEDIA_TYPE as NDJSON
from api.submit.documentation import submission_body
from api.submit.request_models import REF, SUBMISSION_SCHEMA, BatchBody
from common.domain.workflows import NODE_PATTERN, OnParentFailure

NodeName = Annotated[str, Field(pattern=f"^{NODE_PATTERN}$")]


class NodeMembers(BaseModel):
    """The members of a job of a workflow beside those of a submission."""

    model_config = ConfigDict(extra="forbid")

    name: NodeName | None = Field(
        None,
        description="The name of the job in the workflow: up to 100 letters, digits, `_`, `-`, `.` and `:`. "
        "Default: its position among `jobs`, from 0.",
        examples=["encode"],
    )
    depends_on: list[Annotated[str, Field(max_length=100)]] = Field(
        [],
        description="Names of the jobs of the workflow for which it waits, its parents. Default: none; it may run at "
        "once.",
        examples=[["probe"]],
    )
    on_parent_failure: OnParentFailure = Field(
        OnParentFailure.FAIL,
        description="What becomes of the job when a parent has not succeeded. `fail`, the default: it ends FAILED at "
        "once. `skip`: it ends CANCELLED at once. `run`: it runs when all parents have ended, whatever they came to.",
    )


_MEMBERS = NodeMembers.model_json_schema(ref_template="#/components/schemas/{model}")["properties"]
_POLICY = {"type": "string", "enum": [str(policy) for policy in OnParentFailure], "default": "fail"}
_POLICY["description"] = NodeMembers.model_fields["on_parent_failure"].description or ""
_JOB: dict[str, Any] = {
    "allOf": [
        {"type": "object", "properties": _MEMBERS | {"on_parent_failure": _POLICY}},
        {
            "type": "object",
            "description": "The members of a submission.",
            "properties": {"operation": {"type": "string"}},
        },
    ]
}
#: The body of POST /workflows.
WORKFLOW_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "jobs": {
            "type": "array",
            "minItems": 1,
            "description": "The jobs, in any order: each is a submission with `name`, `depends_on` and "
            "`on_parent_failure`. Up to JOBPROC_MAX_BATCH_JOBS.",
            "items": _JOB,
        },
        "follow_up": {"anyOf": [*SUBMISSION_SCHEMA["anyOf"], {"type": "null"}]},
        "webhook": {
            "anyOf": [{"$ref": REF.format(model="WebhookOption")}, {"type": "null"}],
            "description": BatchBody.model_fields["webhook"].description,
        },
    },
    "required": ["jobs"],
    "additionalProperties": False,
    "examples": [
        {
            "jobs": [
                {"name": "left", "operation": "square_sum", "data": [1, 2, 3]},
                {"name": "right", "operation": "square_sum", "data": [4, 5]},
                {"name": "total", "operation": "cube_sum", "data": [1], "depends_on": ["left", "right"]},
            ]
        }
    ],
}
_LINE = '{"name":"total","depends_on":["left","right"],"data":[1],"operation":"cube_sum"}'


def workflow_submission_body() -> dict[str, Any]:
    """Return the body and the parameters of a submission of a workflow: JSON, or NDJSON with a job a line."""
    body = submission_body(WORKFLOW_SCHEMA)
    text = "A job as JSON in each line, such as `" + _LINE + "`."
    body["requestBody"]["content"][NDJSON] = {"schema": {"type": "string", "description": text}}
    return body
