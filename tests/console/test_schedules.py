"""Schedules: create and change by the form, run now, pause, what became of the times, delete."""

import re

from console.conftest import ConsoleVisitor
from playwright.sync_api import expect
from rig.system import until


def test_a_schedule_is_made_by_the_form(console: ConsoleVisitor) -> None:
    client = console.system.client
    page = console.open("/schedules")
    page.keyboard.press("+")
    form = page.get_by_role("dialog", name="New schedule")
    assert console.findings() == []
    form.get_by_label("Name").fill("nightly")
    form.get_by_label("Cron expression").fill("0 3 * * *")
    form.get_by_label("Time zone").fill("Europe/Berlin")
    form.get_by_label("Operation").select_option("square_sum")
    form.get_by_label("Input").fill('{"data": [9007199254740993]}')
    form.get_by_label("Tags").fill("night, vip")
    console.picture("schedule-form")
    form.get_by_role("button", name="Create").click()
    expect(page).to_have_url(re.compile("/schedules/[0-9a-f-]{36}$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("nightly")
    expect(page.locator("section", has_text="Next times").locator("ol li")).to_have_count(5)
    response = client.get(f"/schedules/{page.url[-36:]}")
    assert "9007199254740993" in response.text
    assert (response.json()["time_zone"], response.json()["job"]["tags"]) == ("Europe/Berlin", ["night", "vip"])


def test_a_schedule_is_changed_and_deleted(console: ConsoleVisitor) -> None:
    client = console.system.client
    job = {"operation": "square_sum", "data": [1], "priority": 2, "metadata": {"exact": 9007199254740993}}
    body = {"name": "weekly", "cron": "@weekly", "job": job}
    path = f"/schedules/{client.post('/schedules', json=body).raise_for_status().json()['id']}"
    page = console.open(path)
    page.keyboard.press("e")
    form = page.get_by_role("dialog", name="Change weekly")
    form.get_by_label("Fires").select_option("every_seconds")
    form.get_by_label("Every, in seconds").fill("7200")
    form.get_by_label("Tags").fill("slow")
    form.get_by_role("button", name="Change").click()
    expect(form).to_have_count(0)
    expect(page.get_by_text("every 2 h")).to_be_visible()
    response = client.get(path)
    changed = response.json()
    assert (changed["cron"], changed["every_seconds"], changed["job"]["priority"]) == (None, 7200, 2)
    assert changed["job"]["tags"] == ["slow"]
    assert "9007199254740993" in response.text
    console.picture("schedule")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile("/schedules$"))
    assert client.get(path).status_code == 404


def test_a_schedule_that_another_one_has_changed_is_not_overwritten(console: ConsoleVisitor) -> None:
    console.allow("status of 412")
    client = console.system.client
    body = {"name": "shared", "cron": "@daily", "job": {"operation": "square_sum", "data": [1]}}
    path = f"/schedules/{client.post('/schedules', json=body).raise_for_status().json()['id']}"
    page = console.open(path)
    page.keyboard.press("e")
    form = page.get_by_role("dialog", name="Change shared")
    client.patch(path, json={"jitter_seconds": 5}).raise_for_status()
    form.get_by_label("Tags").fill("lost")
    form.get_by_role("button", name="Change").click()
    expect(form.get_by_role("alert")).to_contain_text("request")
    assert client.get(path).json()["jitter_seconds"] == 5


def test_a_schedule_is_run_paused_and_resumed(console: ConsoleVisitor) -> None:
    client = console.system.client
    body = {"name": "often", "every_seconds": 3_600, "job": {"operation": "square_sum", "data": [2]}}
    schedule_id = client.post("/schedules", json=body).raise_for_status().json()["id"]
    page = console.open("/schedules")
    page.get_by_role("link", name="often").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("It has not fired yet.")).to_be_visible()
    page.keyboard.press("r")
    page.get_by_role("dialog", name="Run often now").get_by_role("button", name="Run now").click()
    console.follow_each_second()
    row = page.get_by_role("table", name="Last times").locator("tbody tr").first
    expect(row).to_contain_text("requested")
    page.keyboard.press("p")
    page.get_by_role("dialog", name="Pause often").get_by_role("button", name="Pause").click()
    expect(page.get_by_text("None while it is paused.")).to_be_visible()
    until("paused", lambda: client.get(f"/schedules/{schedule_id}").json()["paused"])
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(page.locator("section", has_text="Next times").locator("ol li")).to_have_count(5)
    row.get_by_role("link").click()
    expect(page).to_have_url(re.compile("/jobs/[0-9a-f-]{36}$"))


def test_a_refused_schedule_says_which_field(console: ConsoleVisitor) -> None:
    console.allow("status of 422")
    page = console.open("/schedules")
    page.get_by_role("button", name="New schedule").click()
    form = page.get_by_role("dialog", name="New schedule")
    form.get_by_label("Name").fill("wrong")
    form.get_by_label("Cron expression").fill("61 * * * *")
    form.get_by_label("Operation").select_option("square_sum")
    form.get_by_label("Input").fill("{")
    form.get_by_role("button", name="Create").click()
    expect(form.get_by_role("alert")).to_contain_text("The input is no JSON.")
    form.get_by_label("Input").fill('{"data": [1]}')
    form.get_by_role("button", name="Create").click()
    expect(form.locator(".field", has_text="Cron expression").locator(".problem")).to_be_visible()
    expect(form.get_by_label("Name")).to_have_value("wrong")
