"""The page of a job: why it waits or failed, its timeline, exact values, runs, log, and the acts on it."""

import json
import re

from console.conftest import ConsoleVisitor
from playwright.sync_api import expect
from rig.system import System

BIG = "12345678901234567890.10"


def submitted(system: System, **body: object) -> str:
    response = system.client.post("/jobs/", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


def test_a_job_is_followed_to_its_end(console: ConsoleVisitor) -> None:
    job_id = submitted(console.system, operation="sleep", data=[2])
    page = console.open(f"/jobs/{job_id}")
    expect(page.locator(".heading .status")).to_have_text("in progress")
    expect(page.locator(".heading .status")).to_have_text("success")
    expect(page.locator(".timeline")).to_contain_text("attempt 1")
    expect(page.locator("#attempts")).to_contain_text("success")
    console.picture("job")


def test_input_and_result_are_shown_as_they_are_stored(console: ConsoleVisitor) -> None:
    system = console.system
    text = f'{{"operation":"square_sum","input":{{"data":[9007199254740993, 1.50]}},"metadata":{{"10":1,"2":{BIG}}}}}'
    job_id = system.client.post("/jobs/", content=text, headers={"Content-Type": "application/json"}).json()["job_id"]
    system.wait(job_id)
    page = console.open(f"/jobs/{job_id}")
    expect(page.locator("#input")).to_contain_text("9007199254740993")
    stored = system.client.get(f"/jobs/{job_id}").text
    metadata = re.search(r'"metadata":(\{[^}]*\})', stored)
    assert metadata is not None
    shown = page.locator("#links .json-number").all_inner_texts()
    assert shown == re.findall(r":\s*([\d.e+]+)", metadata[1])
    expect(page.locator("#input").get_by_role("button", name="text")).to_be_visible()
    page.locator("#input").get_by_role("button", name="text").click()
    assert json.loads(page.locator("#input pre").inner_text()) == json.loads(stored)["input"]


def test_a_failed_job_says_why_and_is_retried_with_another_input(console: ConsoleVisitor) -> None:
    system = console.system
    job_id = submitted(system, operation="square_sum", data=[1], max_attempts=1)
    system.wait(job_id)
    failed = submitted(system, operation="fail_for_good", data=[1], max_attempts=1)
    system.wait(failed)
    page = console.open(f"/jobs/{failed}")
    expect(page.get_by_role("region", name="Why it failed")).to_contain_text("no use in trying")
    expect(page.locator("#error pre").first).to_be_visible()
    console.picture("job-failed")
    page.keyboard.press("e")
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_label("Input")
    expect(field).to_have_value(re.compile(r"\[1\]"))
    field.fill('{"data": [')
    expect(dialog.get_by_role("alert").filter(has_text="This is no JSON.")).to_be_visible()
    expect(dialog.get_by_role("button", name="Retry with this input")).to_be_disabled()
    field.fill('{"data": [9007199254740993]}')
    dialog.get_by_role("button", name="Retry with this input").click()
    expect(page.locator("#runs")).to_contain_text("run 1")
    system.wait(failed)
    assert "9007199254740993" in system.client.get(f"/jobs/{failed}/input?run=1").text
    expect(page.locator(".heading .status")).to_have_text("failed")
    page.get_by_role("button", name="Inputs and ends side by side").click()
    changed = page.locator("#runs tr.changed")
    expect(changed.filter(has_text="9007199254740993")).to_have_count(1)
    expect(changed.filter(has_text="[1]")).to_have_count(1)
    console.picture("runs")


def test_a_refused_input_shows_the_field(console: ConsoleVisitor) -> None:
    console.allow("status of 422")
    failed = submitted(console.system, operation="fail_for_good", data=[1])
    console.system.wait(failed)
    page = console.open(f"/jobs/{failed}")
    page.get_by_role("button", name="Edit and retry").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Input").fill('{"data": "none"}')
    dialog.get_by_role("button", name="Retry with this input").click()
    expect(dialog.get_by_role("alert").filter(has_text="data")).to_contain_text("request")
    expect(dialog.get_by_label("Input")).to_have_value('{"data": "none"}')


def test_a_waiting_job_says_until_when_and_is_cancelled(console: ConsoleVisitor) -> None:
    job_id = submitted(console.system, operation="square_sum", data=[1], delay_seconds=3_600)
    page = console.open(f"/jobs/{job_id}")
    expect(page.get_by_role("region", name="Why it is not running")).to_contain_text("due")
    page.keyboard.press("c")
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".heading .status")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Retry", exact=True)).to_be_visible()


def test_progress_and_log_come_while_it_runs(console: ConsoleVisitor) -> None:
    talker = submitted(console.system, operation="say_then_wait", data=[3])
    page = console.open(f"/jobs/{talker}")
    expect(page.locator("#logs .log li").first).to_be_visible()
    console.picture("log")


def test_a_job_that_is_not_there(console: ConsoleVisitor) -> None:
    console.allow("status of 404")
    page = console.open("/jobs/01a22faa-7674-719f-8348-084c6ee6246f")
    expect(page.get_by_role("alert").first).to_contain_text("request")


def test_a_job_is_copied_as_a_command(console: ConsoleVisitor) -> None:
    job_id = submitted(console.system, operation="square_sum", data=[1])
    page = console.open(f"/jobs/{job_id}")
    page.get_by_text("As command").first.click()
    sheet = page.locator(".sheet pre")
    expect(sheet.nth(0)).to_have_text(f"curl {console.base.removesuffix('/console')}/jobs/{job_id}")
    expect(sheet.nth(1)).to_contain_text(f"get {job_id}")
    expect(sheet.nth(2)).to_contain_text("client.job(")
