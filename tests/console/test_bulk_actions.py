"""Bulk actions from the list: preview, start, progress, stop, undo; the list of them."""

import re

from console.conftest import ConsoleVisitor
from playwright.sync_api import expect
from rig.system import System


def delayed(system: System, tag: str, count: int) -> list[str]:
    body = [{"operation": "square_sum", "data": [1], "delay_seconds": 3_600, "tags": [tag]} for _ in range(count)]
    return list(system.client.post("/jobs/batch", json=body).json()["job_ids"])


def test_a_cancel_of_all_that_match_is_previewed_started_and_undone(console: ConsoleVisitor) -> None:
    ids = delayed(console.system, "nightly", 12)
    page = console.open("/jobs?tag=nightly&status=SCHEDULED")
    page.get_by_role("button", name="Act on all").click()
    page.get_by_role("region", name="Bulk action").locator("select").select_option("cancel")
    page.get_by_role("button", name="Preview").click()
    expect(page).to_have_url(re.compile("bulk="))
    panel = page.get_by_role("region", name="Bulk action")
    expect(panel).to_contain_text("12 jobs match, exactly")
    console.picture("bulk-preview")
    assert console.system.status(ids[0]) == "SCHEDULED"
    start = panel.get_by_role("button", name="Start")
    expect(start).to_be_disabled()
    panel.get_by_label("Type 12 to start").fill("12")
    start.click()
    expect(panel).to_have_attribute("data-phase", "DONE")
    expect(panel).to_contain_text("12 jobs cancelled")
    expect(page.locator("tbody tr").first).to_contain_text("cancelled")
    panel.get_by_role("button", name="Undo…").click()
    page.get_by_role("dialog").get_by_role("button", name="Undo", exact=True).click()
    expect(panel).to_have_attribute("data-phase", "UNDONE")
    expect(panel).to_contain_text("12 changes taken back")
    assert console.system.status(ids[0]) == "SCHEDULED"
    console.picture("bulk-undone")
    page.reload()
    expect(page.get_by_role("region", name="Bulk action")).to_have_attribute("data-phase", "UNDONE")


def test_a_running_action_is_stopped_and_goes_on(console: ConsoleVisitor) -> None:
    delayed(console.system, "slowly", 40)
    page = console.open("/jobs?tag=slowly&act=reprioritise")
    page.get_by_label("Priority, 0 is first").fill("1")
    page.get_by_label("At most").fill("5")
    page.get_by_role("button", name="Preview").click()
    panel = page.get_by_role("region", name="Bulk action")
    panel.get_by_role("button", name="Start").click()
    expect(panel).to_have_attribute("data-phase", "RUNNING")
    panel.get_by_role("button", name="Stop").click()
    expect(panel).to_have_attribute("data-phase", "STOPPED")
    panel.get_by_role("button", name="Go on").click()
    expect(panel).to_have_attribute("data-phase", re.compile("RUNNING|DONE"))
    panel.get_by_role("button", name="Stop").click()
    page.get_by_role("link", name="Bulk actions").click()
    row = page.locator("tbody tr").filter(has_text="tag:slowly")
    expect(row).to_contain_text("stopped")
    row.get_by_role("link").first.click()
    expect(page).to_have_url(re.compile("/actions/[0-9a-f-]{36}$"))
    expect(page.get_by_role("region", name="Bulk action")).to_have_attribute("data-phase", "STOPPED")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Bulk actions")


def test_a_refused_preview_says_why(console: ConsoleVisitor) -> None:
    console.allow("status of 422")
    page = console.open("/jobs?act=retry&status=SUCCESS")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("region", name="Bulk action").get_by_role("alert")).to_contain_text("request")
