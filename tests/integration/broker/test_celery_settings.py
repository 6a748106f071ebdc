"""Celery's settings, each with the failure that it prevents. The other tests in this folder check the effects."""

from typing import Any

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten

from common.broker.celery_settings import celery_settings
from common.settings import Settings

SETTINGS = Settings(redis_url="redis://127.0.0.1:6379/0", redis_timeout_seconds=3)

#: Setting, value and reason. A changed value must be a decision, not a slip.
REQUIRED: list[tuple[str, Any, str]] = [
    (
        "task_acks_late",
        False,
        "a doorbell is acknowledged when taken: no redelivery after a reconnect, no unacked hash that grows",
    ),
    ("task_reject_on_worker_lost", False, "a doorbell whose process crashed must not be redelivered for ever"),
    ("task_ignore_result", True, "PostgreSQL stores the results"),
    ("result_backend", None, "PostgreSQL stores the results; no result keys, no pubsub connections"),
    ("accept_content", ["json"], "a pickle in Redis is refused, not decoded"),
    ("task_serializer", "json", "messages are sent in the format that is accepted"),
    ("worker_prefetch_multiplier", 1, "4 by default: doorbells for other processes' queues would be taken early"),
    ("worker_disable_prefetch", True, "a doorbell taken by a busy worker does not wake an idle one"),
    (
        "worker_enable_prefetch_count_reduction",
        False,
        "after a reconnect it would lower the prefetch and wait for tasks that never come",
    ),
    ("broker_connection_retry_on_startup", True, "a worker may start before Redis"),
    ("broker_connection_max_retries", None, "100 by default, then the worker gives up"),
    ("worker_cancel_long_running_tasks_on_connection_loss", False, "a Redis outage must not touch running jobs"),
    ("worker_enable_remote_control", False, "write access to Redis must not allow commands to workers"),
    ("worker_send_task_events", False, "no process reads them"),
    ("task_create_missing_queues", False, "a typo must not create a list that no worker serves"),
    ("task_default_queue", "jobproc.default", "never the bare name: Redis may be shared"),
    ("worker_hijack_root_logger", False, "jobproc configures logging itself"),
    ("worker_proc_alive_timeout", 30.0, "4 s by default: too short for a process that starts on a busy node"),
    ("worker_enable_soft_shutdown_on_idle", False, "an idle worker has nothing to wait for"),
    ("broker_pool_limit", 2, "the sum of connections is planned"),
]
TRANSPORT: list[tuple[str, Any, str]] = [
    ("ack_emulation", False, "no unacked hash and index beside the lists: a doorbell is a single message"),
    ("visibility_timeout", 60, "the smallest value of all programs on one Redis applies to all of them"),
    ("unacked_restore_throttle", 1, "there are no unacked messages, so a sweep for them need not run often"),
    ("socket_timeout", 5.0, "without it a publish or a poll waits for ever on a hung server"),
    ("socket_keepalive", True, "an idle connection that a NAT dropped is detected"),
    ("health_check_interval", 5, "a half-open connection is replaced in about one interval and one poll"),
    ("retry_on_timeout", True, "a command with a slow reply is retried"),
    ("max_connections", 10, "the sum of connections is planned"),
]


@pytest.mark.parametrize(("name", "value", "reason"), REQUIRED, ids=[name for name, _, _ in REQUIRED])
def test_a_celery_setting_has_the_value_that_the_engine_relies_on(name: str, value: object, reason: str) -> None:
    with Celery("test", set_as_current=False) as app:
        app.conf.update(celery_settings(SETTINGS))
        assert app.conf[name] == value, reason


@pytest.mark.parametrize(("name", "value", "reason"), TRANSPORT, ids=[name for name, _, _ in TRANSPORT])
def test_a_transport_option_has_the_value_that_the_engine_relies_on(name: str, value: object, reason: str) -> None:
    assert celery_settings(SETTINGS)["broker_transport_options"][name] == value, reason


def test_no_setting_is_without_a_reason() -> None:
    """Settings that follow one of jobproc's are the exception."""
    actual = celery_settings(SETTINGS)
    assert set(actual) - {name for name, _, _ in REQUIRED} == {
        "broker_url",
        "broker_use_ssl",
        "broker_connection_timeout",
        "broker_transport_options",
    }
    assert set(actual["broker_transport_options"]) - {name for name, _, _ in TRANSPORT} == {
        "socket_connect_timeout",
        "login",
    }
    assert actual["broker_url"] == SETTINGS.redis_url
    assert (
        actual["broker_connection_timeout"]
        == actual["broker_transport_options"]["socket_connect_timeout"]
        == SETTINGS.redis_timeout_seconds
    )


def test_the_installed_celery_knows_every_setting() -> None:
    """A setting that Celery renames would be accepted silently and have no effect."""
    known = {entry[0] for entry in flatten(NAMESPACES)}
    assert set(celery_settings(SETTINGS)) <= known
