"""Error groups, and the act on all jobs of one. Worker processes: what they run, and those that are lost."""

import re
import signal

from console.conftest import ConsoleVisitor
from playwright.sync_api import expect
from rig.system import System


def failed(system: System, count: int) -> list[str]:
    ids = [
        system.client.post("/jobs/", json={"operation": "flow_plain", "input": {"fails": True}, "tags": ["groups"]})
        .raise_for_status()
        .json()["job_id"]
        for _ in range(count)
    ]
    for job_id in ids:
        system.wait(job_id)
    return ids


def test_a_group_has_its_jobs_and_is_retried_as_one(console: ConsoleVisitor) -> None:
    ids = failed(console.system, 3)
    page = console.open("/errors")
    row = page.locator("tbody tr").filter(has_text="flow_plain")
    expect(row).to_contain_text("as it was told")
    expect(row.locator("td.count")).to_have_text("3")
    assert console.findings() == []
    console.picture("errors")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/errors/[^/?]+"))
    expect(page.get_by_role("heading", level=1)).to_have_text("PermanentFailure")
    expect(page.locator(".samples li")).to_have_count(3)
    assert console.findings() == []
    page.keyboard.press("a")
    page.get_by_role("button", name="Preview").click()
    panel = page.get_by_role("region", name="Bulk action")
    expect(panel).to_contain_text("3 jobs match, exactly")
    console.picture("error-group")
    panel.get_by_role("button", name="Start").click()
    expect(panel).to_have_attribute("data-phase", "DONE")
    page.get_by_role("link", name="Jobs", exact=True).last.click()
    expect(page).to_have_url(re.compile("error_group="))
    assert all(len(console.system.job(job_id)["attempts"]) >= 1 for job_id in ids)


def test_an_unknown_group_says_where_to_look(console: ConsoleVisitor) -> None:
    page = console.open("/errors/0123456789abcdef?since=1h")
    expect(page.get_by_text("No failed job of this group ended in the last hour.")).to_be_visible()
    page.get_by_label("Failed in").select_option("7d")
    expect(page).to_have_url(re.compile("since=7d"))
    expect(page.get_by_text("in the last 7 days.")).to_be_visible()


def test_a_worker_shows_what_it_runs_and_is_greyed_once_it_is_lost(console: ConsoleVisitor) -> None:
    system = console.system
    system.worker("other", queues="other", concurrency=1)
    page = console.open("/workers")
    console.follow_each_second()
    alive = page.get_by_role("table", name="Worker processes that are alive")
    expect(alive.locator("tbody tr")).to_have_count(3)
    job = system.client.post("/jobs/", json={"operation": "flow_step", "input": {"seconds": 6}}).json()["job_id"]
    row = alive.locator("tr", has=page.locator(f'a[href$="/jobs/{job}"]'))
    expect(row).to_contain_text("flow_step")
    assert console.findings() == []
    console.picture("workers")
    row.get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(r"/workers/\d+$"))
    expect(page.locator(f'a[href$="/jobs/{job}"]')).to_be_visible()
    assert console.findings() == []
    page.go_back()
    expect(alive.locator("tbody tr")).to_have_count(3)
    system.kill("other", signal.SIGKILL)
    ended = page.get_by_role("table", name="Worker processes that have ended")
    expect(ended.locator("tr").filter(has_text="other")).to_be_visible()
    assert console.findings() == []
    console.picture("workers-lost")
    system.client.post(f"/jobs/{job}/cancel")
