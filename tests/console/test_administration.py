"""Webhooks, API keys, the audit log, and the health of the installation."""

import re
from collections.abc import Callable, Iterator

import pytest
from console.conftest import ConsoleVisitor
from integration.webhooks.conftest import settings_for
from playwright.sync_api import expect
from rig.system import System
from rig.webhook_receiver import WebhookReceiver


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    yield receiver
    receiver.close()


def test_health_says_what_to_do(console: ConsoleVisitor) -> None:
    page = console.open("/health")
    expect(page.get_by_role("row").nth(1)).to_be_visible()
    checks = console.system.client.get("/diagnostics").json()["checks"]
    expect(page.locator("tbody tr")).to_have_count(len(checks))
    assert console.findings() == []
    console.picture("health")


def test_a_key_is_shown_once(console: ConsoleVisitor) -> None:
    page = console.open("/keys")
    page.keyboard.press("+")
    form = page.get_by_role("dialog", name="New key")
    form.get_by_label("Name").fill("deploy")
    form.get_by_label("jobs:read").check()
    form.get_by_label("jobs:write").check()
    form.get_by_label("Days until it expires").fill("30")
    form.get_by_role("button", name="Create").click()
    shown = page.get_by_role("dialog", name="The key deploy")
    key = shown.locator(".secret").inner_text()
    assert key
    page.keyboard.press("Escape")
    expect(shown).to_be_visible()  # a slip must not lose it
    console.picture("key")
    assert console.findings() == []
    shown.get_by_role("button", name="I have stored it").click()
    expect(page.get_by_text(key)).to_have_count(0)
    keys = console.system.client.get("/keys").json()["keys"]
    made = next(item for item in keys if item["name"] == "deploy")
    assert made["scopes"] == ["jobs:read", "jobs:write"]
    assert made["expires_at"] is not None


def test_a_key_is_rotated_and_revoked(console: ConsoleVisitor) -> None:
    client = console.system.client
    key_id = client.post("/keys", json={"name": "old", "scopes": ["bulk"]}).raise_for_status().json()["id"]
    page = console.open("/keys")
    row = page.locator("tbody tr", has_text=key_id)
    row.get_by_role("button", name="Rotate old").click()
    page.get_by_role("dialog", name="Rotate old").get_by_role("button", name="Rotate").click()
    page.get_by_role("button", name="I have stored it").click()
    expect(page.locator("tbody tr", has_text="bulk")).to_have_count(2)
    row.get_by_role("button", name="Revoke old").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")
    expect(row.get_by_role("button", name="Revoke old")).to_have_count(0)
    assert console.findings() == []
    page.goto(f"{console.base}/audit?thing={key_id}")
    expect(page.locator("tbody tr", has_text="key.revoke")).to_be_visible()


def test_the_audit_log_is_filtered_by_the_url(console: ConsoleVisitor) -> None:
    client = console.system.client
    client.post("/queues/default/pause").raise_for_status()
    client.post("/queues/default/resume").raise_for_status()
    page = console.open("/audit")
    expect(page.locator("tbody tr", has_text="queue.pause")).to_be_visible()
    assert console.findings() == []
    console.picture("audit")
    page.get_by_label("Action").select_option("queue.resume")
    expect(page).to_have_url(re.compile("action=queue.resume"))
    expect(page.locator("tbody tr", has_text="queue.pause")).to_have_count(0)
    page.get_by_label("What", exact=True).fill("nothing")
    page.get_by_label("What", exact=True).press("Enter")
    expect(page.get_by_text("Nothing fits.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    page.locator("tbody tr", has_text="queue.pause").get_by_role("link", name="queue.pause of default").click()
    expect(page).to_have_url(re.compile("/queues/default$"))


@pytest.fixture
def webhooks(system: System, visit: Callable[..., ConsoleVisitor], receiver: WebhookReceiver) -> ConsoleVisitor:
    """Run a system that may send to the receiver."""
    system.env.update(settings_for(receiver))
    system.api().worker(queues="default,webhooks").controller()
    return visit(system)


def confirm(console: ConsoleVisitor, name: str) -> None:
    """Press a button of the page, and that of the same act in the dialog that asks."""
    console.page.get_by_role("button", name=name).click()
    console.page.get_by_role("dialog").locator("footer button").last.click()
    expect(console.page.get_by_role("dialog", name=name)).to_have_count(0)


def test_an_endpoint_is_made_and_gets_events(webhooks: ConsoleVisitor, receiver: WebhookReceiver) -> None:
    page = webhooks.open("/webhooks")
    page.get_by_role("button", name="New endpoint").click()
    form = page.get_by_role("dialog", name="New endpoint")
    form.get_by_label("URL", exact=True).fill(receiver.url())
    form.get_by_label("Description").fill("receiver")
    form.get_by_label("batch.ended").uncheck()
    assert webhooks.findings() == []
    form.get_by_role("button", name="Create").click()
    shown = page.get_by_role("dialog", name="Secret of the endpoint")
    assert shown.locator(".secret").inner_text().startswith("whsec_")
    shown.get_by_role("button", name="I have stored it").click()
    expect(page).to_have_url(re.compile("/webhooks/[0-9a-f-]{36}$"))
    assert len(webhooks.system.client.get("/webhooks/endpoints").json()["endpoints"][0]["events"]) == 4
    confirm(webhooks, "Test")
    webhooks.follow_each_second()
    rows = page.get_by_role("table", name="Deliveries").locator("tbody tr")
    expect(rows.first).to_contain_text("success")
    assert receiver.events("webhook.test")
    assert webhooks.findings() == []
    webhooks.picture("endpoint")
    rows.first.get_by_role("button", name=re.compile("Redeliver")).click()
    page.get_by_role("dialog", name="Redeliver").get_by_role("button", name="Redeliver").click()
    expect(rows).to_have_count(2)


def test_an_endpoint_is_rotated_disabled_and_deleted(webhooks: ConsoleVisitor, receiver: WebhookReceiver) -> None:
    client = webhooks.system.client
    made = client.post("/webhooks/endpoints", json={"url": receiver.url()}).raise_for_status().json()
    page = webhooks.open(f"/webhooks/{made['id']}")
    page.get_by_role("button", name="Rotate the secret").click()
    page.get_by_role("dialog", name="Rotate the secret").get_by_role("button", name="Rotate").click()
    shown = page.get_by_role("dialog", name="Secret of the endpoint")
    assert shown.locator(".secret").inner_text() != made["secret"]
    shown.get_by_role("button", name="I have stored it").click()
    confirm(webhooks, "Disable")
    expect(page.get_by_role("button", name="Test")).to_be_disabled()
    assert client.get(f"/webhooks/endpoints/{made['id']}").json()["disabled"]
    confirm(webhooks, "Delete")
    expect(page).to_have_url(re.compile("/webhooks$"))
    assert client.get("/webhooks/endpoints").json()["endpoints"] == []
