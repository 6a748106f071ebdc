"""The `links` of the OpenAPI document: from a response to the requests that can follow it."""

from typing import Any

JOB_PATH = "/jobs/{job_id}"
LIST_PATH = "/jobs/"
#: The place of a job id in a response, by method, path and status.
_JOB_IDS = {
    ("post", "/jobs/", "200"): "$response.body#/job_id",
    ("post", "/jobs/", "202"): "$response.body#/job_id",
    ("post", "/jobs/batch", "200"): "$response.body#/job_ids/0",
    ("post", "/jobs/batch", "202"): "$response.body#/job_ids/0",
    ("get", LIST_PATH, "200"): "$response.body#/jobs/0/job_id",
    ("post", f"{JOB_PATH}/cancel", "200"): "$response.body#/job_id",
    ("post", f"{JOB_PATH}/cancel", "202"): "$response.body#/job_id",
    ("post", f"{JOB_PATH}/retry", "202"): "$response.body#/job_id",
}
# OpenAPI cannot take a parameter out of a URL; Schemathesis reads this extension.
_CURSOR = "$response.body#/next#regex:[?&]cursor=([^&]+)"


def add_links(document: dict[str, Any]) -> None:
    """Add links to an OpenAPI document.

    Each response with a job id gets links to all requests about that job. A page of jobs gets a link to the next page.
    """
    paths = document["paths"]
    operations = {
        path.removeprefix(JOB_PATH).strip("/") or "job": operation["operationId"]
        for path, item in paths.items()
        if path.startswith(JOB_PATH)
        for operation in item.values()
    }
    for (method, path, status), job_id in _JOB_IDS.items():
        paths[path][method]["responses"][status]["links"] = {
            name: {"operationId": operation, "parameters": {"job_id": job_id}} for name, operation in operations.items()
        }
    job_list = paths[LIST_PATH]["get"]
    same = {parameter["name"]: f"$request.query.{parameter['name']}" for parameter in job_list["parameters"]}
    job_list["responses"]["200"]["links"]["next"] = {
        "operationId": job_list["operationId"],
        "parameters": same | {"cursor": _CURSOR},
        "description": "The next page: the same filters and order, with the cursor of `next`.",
    }
