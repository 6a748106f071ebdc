"""Workflows: response bodies."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from api.views.batches import counts_of
from common.domain.batches import progress
from common.domain.states import State
from common.domain.workflows import state_of
from common.store.workflows.reads import FoldedGraph, Record

PATH = "/workflows"


def workflow_body(row: Record, graph: FoldedGraph | None, root: str = "") -> bytes:
    """Return the response body for a row with counts: a WorkflowView. Its links begin with `root`."""
    state = state_of(row["failed"], row["cancelled"], is_at_rest=row["is_at_rest"])
    view = _summary(row, state, root) | {
        "counts": counts_of(row),
        "counted_at": row["counted_at"],
        "progress": round(progress(row["jobs"], row["unfinished"]), 4),
        "graph": None if graph is None else _graph(graph),
    }
    return orjson.dumps(view, option=orjson.OPT_UTC_Z)


def workflow_list_body(rows: Sequence[Record], next_path: str | None, root: str = "") -> bytes:
    """Return the response body for a page of workflows: a WorkflowList. Links begin with `root`."""
    views = [_summary(row, row["state"], root) for row in rows]
    return orjson.dumps({"workflows": views, "next": next_path}, option=orjson.OPT_UTC_Z)


def nodes_body(rows: Sequence[Record], next_path: str | None, root: str = "") -> bytes:
    """Return the response body for a page of jobs: a WorkflowNodes. Links begin with `root`."""
    return orjson.dumps({"jobs": [_node(row, root) for row in rows], "next": next_path}, option=orjson.OPT_UTC_Z)


def _node(row: Record, root: str) -> dict[str, Any]:
    same = ("operation", "status", "on_parent_failure", "parents", "attempt", "started_at", "finished_at", "error_type")
    return {
        "job_id": str(row["id"]),
        "name": row["node"],
        **{name: row[name] for name in same},
        "depends_on": row["depends_on"] or [],
        "links": {"self": f"{root}/jobs/{row['id']}"},
    }


def _graph(graph: FoldedGraph) -> dict[str, Any]:
    return {
        "operations": [
            {
                "operation": name,
                "jobs": sum(states.values()),
                "states": {str(state): states.get(state, 0) for state in State},
            }
            for name, states in graph.operations.items()
        ],
        "edges": [{"parent": parent, "child": child, "count": count} for parent, child, count in graph.edges],
    }


def _summary(row: Mapping[str, Any], state: str, root: str) -> dict[str, Any]:
    path, operation = f"{root}{PATH}/{row['id']}", row["follow_up_operation"]
    follow_up = {"operation": operation, "job_id": row["follow_up_job"] and str(row["follow_up_job"])}
    same = ("jobs", "created_at", "ended_at", "cancelled_at", "submitted_by")
    return {
        "workflow_id": str(row["id"]),
        "status": state,
        **{name: row[name] for name in same},
        "follow_up": None if operation is None else follow_up,
        "links": {
            "self": path,
            "jobs": f"{path}/jobs",
            "cancel": f"{path}/cancel",
            "retry": f"{path}/retry",
            "events": f"{root}/batches/{row['id']}/events",
        },
    }
