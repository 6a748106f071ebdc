"""Where the answers of the routes lead: the `links` of the OpenAPI document."""

from typing import Any

OF_JOB = "/jobs/{job_id}"
LIST = "/jobs/"
#: Where an answer names a job, by method, path and status.
_NAMES = {
    ("post", "/jobs/", "200"): "$response.body#/job_id",
    ("post", "/jobs/", "202"): "$response.body#/job_id",
    ("post", "/jobs/batch", "200"): "$response.body#/job_ids/0",
    ("post", "/jobs/batch", "202"): "$response.body#/job_ids/0",
    ("get", LIST, "200"): "$response.body#/jobs/0/job_id",
    ("post", f"{OF_JOB}/cancel", "200"): "$response.body#/job_id",
    ("post", f"{OF_JOB}/cancel", "202"): "$response.body#/job_id",
    ("post", f"{OF_JOB}/retry", "202"): "$response.body#/job_id",
}
# OpenAPI has no way to take a parameter out of a URL; Schemathesis reads this one.
_CURSOR = "$response.body#/next#regex:[?&]cursor=([^&]+)"


def add_links(document: dict[str, Any]) -> None:
    """Add links to an OpenAPI document: from each response that names a job to all requests about that job, from a page to the next one."""
    paths = document["paths"]
    leads_to = {
        path.removeprefix(OF_JOB).strip("/") or "job": operation["operationId"]
        for path, item in paths.items()
        if path.startswith(OF_JOB)
        for operation in item.values()
    }
    for (method, path, status), job_id in _NAMES.items():
        paths[path][method]["responses"][status]["links"] = {
            name: {"operationId": operation, "parameters": {"job_id": job_id}} for name, operation in leads_to.items()
        }
    listed = paths[LIST]["get"]
    same = {one["name"]: f"$request.query.{one['name']}" for one in listed["parameters"]}
    listed["responses"]["200"]["links"]["next"] = {
        "operationId": listed["operationId"],
        "parameters": same | {"cursor": _CURSOR},
        "description": "As `next` says: the same filters and order, and its cursor.",
    }
