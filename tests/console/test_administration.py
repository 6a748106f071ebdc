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


def test_a_key_is_shown_once_rotated_and_revoked(console: ConsoleVisitor) -> None:
    client = console.system.client
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
    stored = client.get("/keys").json()["keys"]
    made = next(item for item in stored if item["name"] == "deploy")
    assert made["scopes"] == ["jobs:read", "jobs:write"]
    assert made["expires_at"] is not None
    page.get_by_role("button", name="Rotate deploy").click()
    page.get_by_role("dialog", name="Rotate deploy").get_by_role("button", name="Rotate").click()
    page.get_by_role("button", name="I have stored it").click()
    expect(page.locator("tbody tr", has_text="deploy")).to_have_count(2)
    row = page.locator("tbody tr", has_text=made["id"])
    row.get_by_role("button", name="Revoke deploy").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")
    expect(row.get_by_role("button", name="Revoke deploy")).to_have_count(0)
    assert console.findings() == []
    page.goto(f"{console.base}/audit?thing={made['id']}")
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


def test_an_endpoint_is_made_tested_rotated_and_deleted(
    system: System, visit: Callable[..., ConsoleVisitor], receiver: WebhookReceiver
) -> None:
    system.env.update(settings_for(receiver))
    system.api().worker(queues="default,webhooks").controller()
    console = visit(system)
    page = console.open("/webhooks")
    expect(page.get_by_text("There is no endpoint yet.")).to_be_visible()
    page.get_by_role("button", name="New endpoint").click()
    form = page.get_by_role("dialog", name="New endpoint")
    form.get_by_label("URL").fill(receiver.url())
    form.get_by_label("Description").fill("receiver")
    form.get_by_label("batch.ended").uncheck()
    assert console.findings() == []
    form.get_by_role("button", name="Create").click()
    shown = page.get_by_role("dialog", name="Secret of the endpoint")
    secret = shown.locator(".secret").inner_text()
    assert secret.startswith("whsec_")
    shown.get_by_role("button", name="I have stored it").click()
    expect(page).to_have_url(re.compile("/webhooks/[0-9a-f-]{36}$"))
    assert len(system.client.get("/webhooks/endpoints").json()["endpoints"][0]["events"]) == 4
    page.get_by_role("button", name="Test").click()
    page.get_by_role("dialog", name="Test the endpoint").get_by_role("button", name="Send").click()
    console.follow_each_second()
    rows = page.get_by_role("table", name="Deliveries").locator("tbody tr")
    expect(rows.first).to_contain_text("success")
    assert console.findings() == []
    console.picture("endpoint")
    rows.first.get_by_role("button", name=re.compile("Redeliver")).click()
    page.get_by_role("dialog", name="Redeliver").get_by_role("button", name="Redeliver").click()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Rotate the secret").click()
    page.get_by_role("dialog", name="Rotate the secret").get_by_role("button", name="Rotate").click()
    shown = page.get_by_role("dialog", name="Secret of the endpoint")
    assert shown.locator(".secret").inner_text() != secret
    shown.get_by_role("button", name="I have stored it").click()
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(page.get_by_role("button", name="Test")).to_be_disabled()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile("/webhooks$"))
    assert system.client.get("/webhooks/endpoints").json()["endpoints"] == []
