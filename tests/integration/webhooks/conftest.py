"""A receiver, and the settings with which jobproc may send to it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rig.system import System
from rig.webhook_receiver import WebhookReceiver


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    yield receiver
    receiver.close()


def settings_for(*receivers: WebhookReceiver) -> dict[str, str]:
    """Return the settings of a system that may send to receivers of the test."""
    return {
        "JOBPROC_WEBHOOK_SCHEMES": "https,http",
        "JOBPROC_WEBHOOK_PORTS": ",".join(str(receiver.port) for receiver in receivers),
        "JOBPROC_WEBHOOK_PRIVATE_NETWORKS": "127.0.0.0/8",
        "JOBPROC_WEBHOOK_PRIVATE_HOSTS": "localhost",
        "JOBPROC_WEBHOOK_TIMEOUT_SECONDS": "3",
    }


@pytest.fixture
def webhooks(system: System, receiver: WebhookReceiver) -> System:
    """Run a system whose worker serves the queue of webhooks."""
    system.env.update(settings_for(receiver))
    return system.api().worker(queues="default,webhooks").controller()


@pytest.fixture
def create(system: System) -> Callable[..., dict[str, Any]]:
    """Return what creates an endpoint."""

    def create_(url: str, **members: Any) -> dict[str, Any]:
        response = system.client.post("/webhooks/endpoints", json={"url": url, **members})
        assert response.status_code == 201, response.text
        return dict(response.json())

    return create_
