"""Requests of bulk actions, and the outcomes of their jobs."""

import uuid
from typing import Any

from rig.system import System, until


def preview(
    system: System, kind: str, *, rate: int = 2_000, priority: int | None = None, **filters: Any
) -> dict[str, Any]:
    """Create a bulk action; return its preview."""
    body = {"action": kind, "filter": filters, "jobs_per_second": rate} | (
        {} if priority is None else {"priority": priority}
    )
    response = system.client.post("/bulk-actions", json=body)
    assert response.status_code == 201, response.text
    return dict(response.json())


def command(system: System, action: dict[str, Any], verb: str, *phases: str) -> dict[str, Any]:
    """Start, stop or undo a bulk action; return it as soon as it is in one of these phases."""
    response = system.client.post(action["links"][verb])
    assert response.status_code == 200, response.text

    def in_phase() -> dict[str, Any] | None:
        view: dict[str, Any] = system.client.get(action["links"]["self"]).json()
        return view if view["phase"] in phases else None

    view: dict[str, Any] = until(f"the bulk action is {phases}", in_phase, 30)
    return view


def submit_tagged(system: System, count: int, operation: str = "square_sum", **options: Any) -> tuple[str, list[str]]:
    """Submit jobs with a new tag; return the tag and their ids."""
    tag = uuid.uuid4().hex[:12]
    response = system.client.post(
        "/jobs/batch", json=[{"operation": operation, "data": [0.0, n], "tags": [tag], **options} for n in range(count)]
    )
    assert response.status_code == 202, response.text
    return tag, response.json()["job_ids"]


def outcomes_by_job(system: System, ids: list[str]) -> dict[str, list[tuple[int, str]]]:
    """Return the number and outcome of each finished run, by job."""
    outcomes: dict[str, list[tuple[int, str]]] = {job_id: [] for job_id in ids}
    rows = system.database.rows(
        "SELECT id::text, run, status FROM outcomes WHERE id = ANY (%s::uuid[]) ORDER BY id, run", (ids,)
    )
    for job_id, run_number, status in rows:
        outcomes[job_id].append((run_number, status))
    return outcomes
