"""`python -m jobproc.celery check app.module:app`: what differs when an app of Celery moves, and what needs work."""

import sys
import weakref
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from jobproc.celery.apps import queue_of, tasks_of
from jobproc.celery.options import MAX_NAME, operation_name
from jobproc.celery.task_code import calls_of, tagged_parameters_of
from jobproc.celery.tasks import MAX_DELAY_S
from jobproc.errors import JobprocError

NEEDS_WORK = 10  # the exit code
PICKLED = ("pickle", "yaml", "msgpack")
#: Signals that a worker of jobproc does not send; those of tasks are sent.
SIGNALS = {
    "worker_init": "on_process_start",
    "worker_ready": "on_process_start",
    "worker_process_init": "on_process_start",
    "worker_process_shutdown": "on_process_stop",
    "worker_shutdown": "on_process_stop",
    "worker_shutting_down": "on_process_stop",
    "before_task_publish": "a wrapper around the calls",
    "after_task_publish": "a wrapper around the calls",
    "task_sent": "a wrapper around the calls",
    "task_received": "a hook around attempts",
    "task_revoked": "a webhook",
    "task_rejected": "a webhook",
    "beat_init": "a schedule",
    "celeryd_init": "on_process_start",
    "celeryd_after_setup": "on_process_start",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact of an app that will differ."""

    subject: str  #: a task, or a setting of the app
    text: str
    needs_work: bool

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{'work' if self.needs_work else 'note'}  {self.subject}: {self.text}"


def main(arguments: list[str]) -> int:
    """Print what differs, and return 0, 10 if something needs work, or 2 if the app cannot be read."""
    if len(arguments) != 2 or arguments[0] != "check":  # noqa: PLR2004 - the command and the app
        print("usage: python -m jobproc.celery check app.module:app", file=sys.stderr)
        return 2
    try:
        app = loaded(arguments[1])
        found = differences(app)
    except JobprocError as error:
        print(error, file=sys.stderr)
        return 2
    work = sum(difference.needs_work for difference in found)
    for difference in sorted(found, key=lambda difference: not difference.needs_work):
        print(difference)
    print(f"{len(tasks_of(app))} tasks: {work} differences need work, {len(found) - work} are to be known")
    return NEEDS_WORK if work else 0


def loaded(place: str) -> Any:
    """Return the app of `module:name`; without a name `app` or `celery`. Raises JobprocError."""
    module_name, _, name = place.partition(":")
    sys.path.insert(0, "")
    try:
        module = import_module(module_name)
    except Exception as error:  # whatever the code of the app raises
        raise JobprocError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove("")
    for attribute in (name,) if name else ("app", "celery"):
        if hasattr(found := getattr(module, attribute, None), "tasks"):
            return found
    raise JobprocError(f"{module_name} has no app of Celery {name or 'app'!r}; module:name is expected")


def differences(app: Any) -> list[Difference]:
    """Return what will differ."""
    tasks = tasks_of(app)
    found = [*_of_settings(app), *_of_schedules(app), *_of_signals()]
    for task in tasks:
        found += _of_task(app, task)
    return found + list(_of_all(app, tasks))


def _of_settings(app: Any) -> Iterator[Difference]:
    conf = app.conf
    for setting in ("task_serializer", "result_serializer"):
        if conf[setting] != "json":
            yield Difference(setting, f"inputs and results are JSON, not {conf[setting]}", needs_work=True)
    if accepted := [kind for kind in conf.accept_content or () if any(name in str(kind) for name in PICKLED)]:
        yield Difference("accept_content", f"{', '.join(map(str, accepted))}: JSON alone is accepted", needs_work=True)
    yield from _known_settings(conf)


def _known_settings(conf: Any) -> Iterator[Difference]:
    """Return the settings that need no work."""
    if conf.result_backend:
        yield Difference(
            "result_backend", "results are rows of PostgreSQL; nothing else reads the backend", needs_work=False
        )
    if timeout := (conf.broker_transport_options or {}).get("visibility_timeout"):
        text = f"{timeout}: there is none; neither a long task nor an ETA behind it is delivered twice"
        yield Difference("visibility_timeout", text, needs_work=False)
    if conf.task_always_eager:
        yield Difference(
            "task_always_eager", "routed calls still run at once; jobproc.testing.run checks more", needs_work=False
        )
    if conf.task_annotations:
        yield Difference("task_annotations", "they apply to the tasks of the app as before", needs_work=False)
    if conf.worker_max_tasks_per_child or conf.worker_max_memory_per_child:
        text = "the options --max-tasks-per-child and --max-memory-per-child of the worker"
        yield Difference("worker_max_…_per_child", text, needs_work=False)


def _of_schedules(app: Any) -> Iterator[Difference]:
    for name in sorted(app.conf.beat_schedule or {}):
        yield Difference(f"beat_schedule {name}", "create a schedule of jobproc", needs_work=True)


def _of_signals() -> Iterator[Difference]:
    from celery import signals

    for name, instead in SIGNALS.items():
        signal = getattr(signals, name, None)
        receivers = [receiver for receiver in map(_receiver, getattr(signal, "receivers", None) or ()) if receiver]
        if modules := sorted(
            {
                module
                for receiver in receivers
                if not (module := receiver.__module__).startswith(("celery.", "kombu.", "jobproc."))
            }
        ):
            yield Difference(f"signal {name} ({', '.join(modules)})", f"is not sent; use {instead}", needs_work=True)


def _receiver(entry: Any) -> Any:
    """Return the function of an entry of a signal; None: it is gone."""
    function = entry[1] if isinstance(entry, tuple) else entry
    return function() if isinstance(function, weakref.ReferenceType) else function


def _of_task(app: Any, task: Any) -> Iterator[Difference]:
    if task.rate_limit:
        text = f"rate_limit={task.rate_limit!r}: set the rate of its queue {queue_of(app, task)!r}"
        yield Difference(task.name, text, needs_work=True)
    if task.serializer not in (None, "json", app.conf.task_serializer):
        yield Difference(task.name, f"serializer={task.serializer!r}: inputs are JSON", needs_work=True)
    if task.max_retries is None:
        yield Difference(task.name, "max_retries=None: at most 999 retries", needs_work=False)
    if task.default_retry_delay > MAX_DELAY_S:
        text = f"default_retry_delay={task.default_retry_delay}: at most a day"
        yield Difference(task.name, text, needs_work=True)
    if task.ignore_result:
        yield Difference(task.name, "ignore_result: its result is null", needs_work=False)
    if (name := operation_name(task.name)) != task.name:
        length = f", which has more than {MAX_NAME} characters" if len(task.name) > MAX_NAME else ""
        yield Difference(task.name, f"its operation is {name!r}{length}", needs_work=False)
    yield from _of_code(task)


def _of_code(task: Any) -> Iterator[Difference]:
    for parameter, kind in tagged_parameters_of(task):
        text = f"{parameter}: {kind} arrives as a text or a number, as jobs have JSON alone"
        yield Difference(task.name, text, needs_work=True)
    for text in sorted(set(calls_of(task))):
        yield Difference(task.name, text, needs_work=True)


def _of_all(app: Any, tasks: list[Any]) -> Iterator[Difference]:
    by_operation: dict[str, list[str]] = defaultdict(list)
    queues: set[str] = set()
    for task in tasks:
        by_operation[operation_name(task.name)].append(task.name)
        queues.add(queue_of(app, task))
    for names in by_operation.values():
        if len(names) > 1:
            yield Difference(" and ".join(names), "their operations have one name; rename one", needs_work=True)
    if early := [task.name for task in tasks if not task.acks_late]:
        text = (
            "acks_late=False: a task whose process dies runs again here, up to max_retries; "
            f"make it repeatable, or give it max_retries=0: {', '.join(early)}"
        )
        yield Difference("acks_late", text, needs_work=False)
    if others := sorted(queues - {str(app.conf.task_default_queue)}):
        yield Difference("queues", f"start workers with --queues default,{','.join(others)}", needs_work=False)
