"""Celery's settings, each with what breaks without it. What they bring about is held by the tests beside this file."""

from typing import Any

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten

from common.broker.celery_settings import celery_settings
from common.settings import Settings

SETTINGS = Settings(redis_url="redis://127.0.0.1:6379/0", redis_timeout_seconds=3)

#: Setting, value, and why: a change of either is a decision, not a slip.
HELD: list[tuple[str, Any, str]] = [
    ("task_acks_late", False, "a ring is answered when taken: no redelivery after a reconnect, no unacked hash that grows"),
    ("task_reject_on_worker_lost", False, "a ring whose process died must not come back for ever"),
    ("task_ignore_result", True, "truth is in PostgreSQL"),
    ("result_backend", None, "truth is in PostgreSQL; no result keys, no pubsub connections"),
    ("accept_content", ["json"], "a pickle in Redis is refused, not decoded"),
    ("task_serializer", "json", "what is accepted is what is sent"),
    ("worker_prefetch_multiplier", 1, "4 by default: rings of other processes' queues taken early"),
    ("worker_disable_prefetch", True, "a ring taken by a busy worker is a wake-up taken from an idle one"),
    ("worker_enable_prefetch_count_reduction", False, "after a reconnect it would lower the prefetch and wait for tasks that never come"),
    ("broker_connection_retry_on_startup", True, "a worker may start before Redis"),
    ("broker_connection_max_retries", None, "100 by default, then the worker gives up"),
    ("worker_cancel_long_running_tasks_on_connection_loss", False, "a cut of Redis must not touch running work"),
    ("worker_enable_remote_control", False, "who can write to Redis must not command workers"),
    ("worker_send_task_events", False, "nobody reads them"),
    ("task_create_missing_queues", False, "a typo must not create a list that nobody serves"),
    ("task_default_queue", "jobproc.default", "never the bare name: Redis may be shared"),
    ("worker_hijack_root_logger", False, "logs are the product's own"),
    ("worker_proc_alive_timeout", 30.0, "4 s by default: too short for a process that starts on a busy node"),
    ("worker_enable_soft_shutdown_on_idle", False, "there is nothing to wait for"),
    ("broker_pool_limit", 2, "the sum of connections is planned"),
]
TRANSPORT: list[tuple[str, Any, str]] = [
    ("ack_emulation", False, "no unacked hash and index beside the lists: one ring is one message"),
    ("visibility_timeout", 60, "the smallest of all programs on one Redis counts for all"),
    ("unacked_restore_throttle", 1, "a sweep of what does not exist need not run often"),
    ("socket_timeout", 5.0, "without it a publish or a look waits for ever on a hung server"),
    ("socket_keepalive", True, "an idle connection that a NAT dropped is noticed"),
    ("health_check_interval", 5, "a half-open connection heals in about one interval and one poll"),
    ("retry_on_timeout", True, "a slow answer is asked for again"),
    ("max_connections", 10, "the sum of connections is planned"),
]


@pytest.mark.parametrize(("name", "value", "why"), HELD, ids=[name for name, _, _ in HELD])
def test_a_setting_of_celery_is_what_the_engine_relies_on(name: str, value: object, why: str) -> None:
    with Celery("test", set_as_current=False) as app:
        app.conf.update(celery_settings(SETTINGS))
        assert app.conf[name] == value, why


@pytest.mark.parametrize(("name", "value", "why"), TRANSPORT, ids=[name for name, _, _ in TRANSPORT])
def test_an_option_of_the_transport_is_what_the_engine_relies_on(name: str, value: object, why: str) -> None:
    assert celery_settings(SETTINGS)["broker_transport_options"][name] == value, why


def test_no_setting_is_without_a_reason() -> None:
    """Those that follow a setting of jobproc are left to it."""
    made = celery_settings(SETTINGS)
    assert set(made) - {name for name, _, _ in HELD} == {"broker_url", "broker_connection_timeout", "broker_transport_options"}
    assert set(made["broker_transport_options"]) - {name for name, _, _ in TRANSPORT} == {"socket_connect_timeout"}
    assert made["broker_url"] == SETTINGS.redis_url
    assert made["broker_connection_timeout"] == made["broker_transport_options"]["socket_connect_timeout"] == SETTINGS.redis_timeout_seconds


def test_every_setting_is_one_that_the_installed_celery_knows() -> None:
    """A setting that Celery renames would be taken in silence and do nothing."""
    known = {entry[0] for entry in flatten(NAMESPACES)}
    assert set(celery_settings(SETTINGS)) <= known
