"""The commands and the receiver of docs/howto/webhooks.md work as they are."""

import io
import json
import re
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from integration.webhooks.conftest import settings_for
from rig.system import System, until
from rig.webhook_receiver import Received, WebhookReceiver

from api.views.webhooks.endpoints import EndpointBody

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "howto" / "webhooks.md").read_text()
BASE = "http://127.0.0.1:8000"


def commands() -> list[list[str]]:
    return [shlex.split(line) for line in PAGE.splitlines() if line.startswith("curl ")]


def options(command: list[str], name: str) -> list[str]:
    return [value for option, value in pairwise(command) if option == name]


def test_the_commands_of_the_page_work(system: System) -> None:
    system.api()
    endpoint_id = ""
    assert len(commands()) == 10
    for command in commands():
        (url,) = [word for word in command if word.startswith(BASE)]
        method = (options(command, "-X") or ["GET"])[0]
        headers = dict(header.split(": ", 1) for header in options(command, "-H"))
        body = next(iter(options(command, "-d")), None)
        answer: httpx.Response = system.client.request(
            method,
            url.removeprefix(BASE).replace("ID", endpoint_id),
            headers=headers,
            content=None if body is None else body.replace("ID", endpoint_id),
        )
        assert answer.status_code in (200, 201, 202), (command, answer.text)
        endpoint_id = endpoint_id or answer.json()["id"]


def test_the_receiver_of_the_page_verifies_and_orders(
    system: System, receiver: WebhookReceiver, create: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    system.env.update(settings_for(receiver))
    system.api().worker(queues="default,webhooks").controller()
    endpoint = create(receiver.url())
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    page: dict[str, Any] = {"__name__": "page"}
    exec(code.replace("whsec_...", endpoint["secret"]), page)  # noqa: S102 - the page's own
    job = {"data": [1], "operation": "fail_for_good", "webhook": {"endpoint_id": endpoint["id"]}}
    job_id = system.client.post("/jobs/", json=job).json()["job_id"]
    until("the event", lambda: receiver.received)

    statuses: list[int] = []

    def handle(received: Received, body: bytes) -> None:
        """Let the receiver of the page handle a request, without a socket."""
        handler = page["Receiver"].__new__(page["Receiver"])
        handler.headers = {**received.headers, "content-length": str(len(body))}
        handler.rfile, handler.answer = io.BytesIO(body), statuses.append
        handler.do_POST()

    [received] = receiver.received
    for body in (received.body, received.body, received.body + b" "):
        handle(received, body)
    assert statuses == [204, 204, 400]
    assert capsys.readouterr().out == f"job.failed {job_id}\n"


def test_the_page_has_every_member_of_an_endpoint() -> None:
    table = PAGE.partition("## The request")[0]
    named = {row.split("|")[1].strip().strip("`") for row in table.splitlines() if row.startswith("| `")}
    assert named == set(EndpointBody.model_fields)


def test_the_example_of_an_event_has_the_members_of_real_ones(
    system: System, receiver: WebhookReceiver, create: Callable[..., dict[str, Any]]
) -> None:
    system.env.update(settings_for(receiver))
    system.api().worker(queues="default,webhooks").controller()
    endpoint = create(receiver.url())
    job = {"data": [1], "operation": "fail_for_good", "webhook": {"endpoint_id": endpoint["id"]}}
    system.client.post("/jobs/", json=job).raise_for_status()
    [event] = until("the event", receiver.events)
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert json.loads(example)["data"].keys() == event["data"].keys()
    assert json.loads(example).keys() == event.keys()
