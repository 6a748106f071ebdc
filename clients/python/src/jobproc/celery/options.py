"""The options of `apply_async` as those of a submission, and the names of tasks as those of operations."""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from jobproc.celery.errors import NotMapped

HIGHEST = 9  # of Celery's priorities that both brokers have
MAX_NAME = 64  # characters of an operation's name
DIGEST = 8  # characters that keep two long names apart
CELERY_QUEUE = "celery"  # the name of Celery's default queue: here the queue of the operation
Options = Mapping[str, Any]

#: How a client reaches the broker, which here is a request that is repeated until the job is stored.
_WITHOUT_MEANING = frozenset(
    {"retry", "retry_policy", "connection", "producer", "publisher", "add_to_parent", "compression", "ignore_result"}
    | {"root_id", "parent_id", "reply_to", "replaced_task_nesting", "delivery_mode", "immediate", "mandatory"}
    | {"retries", "task_type", "route_name", "router", "result_cls", "origin", "argsrepr", "kwargsrepr"}
)
_SAME = frozenset({"tags", "metadata", "unique", "concurrency_key", "keep_seconds", "max_attempts", "webhook"})
_INSTEAD = {
    "link": "submit a chain: jobproc.celery.chain(task, link)",
    "link_error": "give a job of a workflow on_parent_failure=run, or a webhook",
    "chord": "make the chord with jobproc.celery.chord",
    "chain": "make the chain with jobproc.celery.chain",
    "group_id": "make the group with jobproc.celery.group",
    "exchange": "name a queue",
    "routing_key": "name a queue",
    "headers": "give metadata, a dictionary that the task reads as its request's metadata",
    "shadow": "give tags",
    "soft_time_limit": "give it to the decorator of the task",
}


def operation_name(task: str) -> str:
    """Return the name of a task's operation: in lower case, and 64 characters at most.

    A longer name keeps its end, and gets a digest of the whole.
    """
    name = re.sub(r"[^a-z0-9_.]", "_", task.lower())
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(task.encode()).hexdigest()[:DIGEST]
    return f"{name[-(MAX_NAME - DIGEST - 1) :]}.{digest}"


def submission_options(
    options: Options, *, zero_is_first: bool, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> dict[str, Any]:
    """Return the options of `apply_async` as those of a submission. None is an option that is not given.

    `zero_is_first`: the order of priorities, as with Redis. Raises NotMapped, whose message has the option.
    """
    given = {name: value for name, value in options.items() if value is not None and name not in _WITHOUT_MEANING}
    if "countdown" in given and "eta" in given:
        raise NotMapped("countdown and eta: only one of them is expected")
    made = {name: given.pop(name) for name in list(given) if name in _SAME}
    for name, value in given.items():
        if name not in _MAPPED:
            instead = _INSTEAD.get(name, "jobproc has no such option")
            raise NotMapped(f"{name}: a job has none; {instead}")
        made |= _MAPPED[name](value, zero_is_first, now)
    return made


def _countdown(value: Any, _zero_is_first: bool, _now: Callable[[], datetime]) -> Options:
    return {"delay_seconds": max(0, value)}


def _eta(value: Any, _zero_is_first: bool, _now: Callable[[], datetime]) -> Options:
    return {"run_at": _instant(value)}


def _expires(value: Any, _zero_is_first: bool, now: Callable[[], datetime]) -> Options:
    """Return the deadline: seconds from now, or an instant."""
    return {"deadline": now() + timedelta(seconds=value) if isinstance(value, int | float) else _instant(value)}


def _priority(value: Any, zero_is_first: bool, _now: Callable[[], datetime]) -> Options:
    if type(value) is not int or not 0 <= value <= HIGHEST:
        raise NotMapped(f"priority: 0 to {HIGHEST} is expected, not {value!r}")
    return {"priority": value if zero_is_first else HIGHEST - value}


def _queue(value: Any, _zero_is_first: bool, _now: Callable[[], datetime]) -> Options:
    name = str(getattr(value, "name", value))
    return {} if name == CELERY_QUEUE else {"queue": name}


def _serializer(value: Any, _zero_is_first: bool, _now: Callable[[], datetime]) -> Options:
    if value != "json":
        raise NotMapped(f"serializer: arguments are JSON, not {value}")
    return {}


def _instant(value: Any) -> datetime:
    """Return a time; one without a time zone is in UTC, as with Celery."""
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(time, datetime):
        raise NotMapped(f"eta, expires: a time is expected, not {value!r}")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


_MAPPED: dict[str, Callable[[Any, bool, Callable[[], datetime]], Options]] = {
    "countdown": _countdown,
    "eta": _eta,
    "expires": _expires,
    "priority": _priority,
    "queue": _queue,
    "serializer": _serializer,
    "task_id": lambda value, _zero_is_first, _now: {"idempotency_key": str(value)},
    "time_limit": lambda value, _zero_is_first, _now: {"timeout_seconds": value},
}
