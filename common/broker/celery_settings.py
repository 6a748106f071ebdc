"""Celery's configuration."""

from typing import Any

from common.broker.doorbells import celery_queue
from common.settings import Settings


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration. Doorbells may be lost, so the settings that guard messages are the wrong ones here."""
    return {
        "broker_url": settings.redis_url,
        # A ring is answered when it is taken: no unacked hash, no redelivery, no storm of copies after a reconnect.
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        # Truth is in PostgreSQL.
        "task_ignore_result": True,
        "result_backend": None,
        # JSON only: anything else is refused, not decoded.
        "accept_content": ["json"],
        "task_serializer": "json",
        # A ring taken early by a busy worker would be a wake-up taken from an idle one.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_enable_prefetch_count_reduction": False,
        # Redis may come later, go and come back: never give up, never touch running work.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": settings.redis_timeout_seconds,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Who can write to Redis must not command workers; what runs where is in PostgreSQL.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "task_create_missing_queues": False,
        "task_default_queue": celery_queue("default"),
        "worker_hijack_root_logger": False,
        "worker_proc_alive_timeout": 30.0,
        "worker_enable_soft_shutdown_on_idle": False,
        "broker_pool_limit": 2,
        "broker_transport_options": {
            # Without: two Redis commands fewer a ring, and the bound on rings becomes exact.
            "ack_emulation": False,
            "visibility_timeout": 60,
            "unacked_restore_throttle": 1,
            # A half-open connection heals in about one health interval and a poll.
            "socket_timeout": 5.0,
            "socket_connect_timeout": settings.redis_timeout_seconds,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "retry_on_timeout": True,
            "max_connections": 10,
        },
    }
