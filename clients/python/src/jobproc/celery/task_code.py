"""The code of tasks of Celery, as far as it shows what differs."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

#: Types of arguments that Celery's JSON brings back, and JSON here does not: they arrive as texts.
TAGGED = ("datetime", "date", "time", "timedelta", "Decimal", "UUID", "bytes")
#: Calls in the code of a task, by their last name, and what becomes of them.
CALLS = {
    "replace": "self.replace: add jobs to the workflow with Context.add_job",
    "add_to_chord": "self.add_to_chord: add jobs to the workflow with Context.add_job",
    "chunks": "chunks: use a group, or Client.map",
    "starmap": "starmap: use a group, or Client.map",
    "group": "group: import it from jobproc.celery",
    "chord": "chord: import it from jobproc.celery",
    "chain": "chain: import it from jobproc.celery",
}
OPTIONS = {
    "link": "link=: make a chain",
    "link_error": "link_error=: a job of a workflow with on_parent_failure=run, or a webhook",
    "shadow": "shadow=: give tags",
    "headers": "headers=: give metadata",
    "routing_key": "routing_key=: name a queue",
    "exchange": "exchange=: name a queue",
}


def tagged_parameters_of(task: Any) -> Iterator[tuple[str, str]]:
    """Return the parameters of a task whose annotation Celery's JSON brings back."""
    for parameter in inspect.signature(task.run).parameters.values():
        kind = parameter.annotation
        name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
        if name.rpartition(".")[2] in TAGGED:
            yield parameter.name, name


def calls_of(task: Any) -> Iterator[str]:
    """Return the calls in the code of a task that differ."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(getattr(task, "_orig_run", task.run)))))
    except (OSError, TypeError, SyntaxError):  # made at run time
        return
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        is_of_self = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "self"
        if name in CALLS and (is_of_self or name not in {"replace", "add_to_chord"}):
            yield CALLS[name]
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        if name == "retry" and given.keys() & {"args", "kwargs"}:
            yield "self.retry(args=, kwargs=): a retry has the arguments of the job; submit another job"
        if name in {"apply_async", "send_task", "set"}:
            yield from (text for option, text in OPTIONS.items() if option in given)
        if name == "get" and isinstance(call.func, ast.Attribute) and _is_submission(call.func.value):
            yield "waits for another task: make a chain, or give get disable_sync_subtasks=False"


def _is_submission(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"delay", "apply_async"}
