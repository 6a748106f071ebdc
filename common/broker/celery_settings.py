"""Celery's configuration: every option that guards messages or results is off."""

from typing import Any

from common.broker.doorbells import celery_queue
from common.broker.redis_client import redis_login
from common.settings import Settings


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration. Doorbells may be lost, so the settings that guard messages are off."""
    return {
        "broker_url": settings.redis_server.url,
        "broker_use_ssl": dict(settings.redis_server.tls or {}),
        # A doorbell is acknowledged when it is taken: no unacked hash, no redelivery, no duplicates after a reconnect.
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        # Results are in PostgreSQL.
        "task_ignore_result": True,
        "result_backend": None,
        # JSON only: other content is refused without decoding it.
        "accept_content": ["json"],
        "task_serializer": "json",
        # A doorbell that a busy worker prefetches would not wake an idle one.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_enable_prefetch_count_reduction": False,
        # Redis may be unavailable at any time: always reconnect, never cancel running jobs.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": settings.redis_timeout_seconds,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Write access to Redis must not allow control of workers; running jobs are listed in PostgreSQL.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "task_create_missing_queues": False,
        "task_default_queue": celery_queue("default"),
        "worker_hijack_root_logger": False,
        "worker_proc_alive_timeout": 30.0,
        "worker_enable_soft_shutdown_on_idle": False,
        "broker_pool_limit": 2,
        "broker_transport_options": {
            "login": redis_login(settings),  # read by worker/celery_adapter/transport.py
            # Without it a ring takes two Redis commands fewer, and the limit of unanswered rings is exact.
            "ack_emulation": False,
            "visibility_timeout": 60,
            "unacked_restore_throttle": 1,
            # A half-open connection is detected within about one health interval and a poll.
            "socket_timeout": 5.0,
            "socket_connect_timeout": settings.redis_timeout_seconds,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "retry_on_timeout": True,
            "max_connections": 10,
        },
    }
