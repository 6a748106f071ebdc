"""Queues: pause and limits. Operations: a form from the schema of the input, which submits once."""

import re

from console.conftest import ConsoleVisitor
from playwright.sync_api import expect


def test_a_queue_is_paused_and_resumed(console: ConsoleVisitor) -> None:
    page = console.open("/queues")
    page.get_by_role("link", name="default").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("default")
    page.get_by_role("button", name="Pause").click()
    dialog = page.get_by_role("dialog", name="Pause default")
    expect(dialog).to_contain_text("No job of the queue starts any more")
    dialog.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused", exact=True)).to_be_visible()
    assert console.system.client.get("/queues/default").json()["paused"]
    console.picture("queue")
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert not console.system.client.get("/queues/default").json()["paused"]


def test_limits_are_set_and_taken_away(console: ConsoleVisitor) -> None:
    page = console.open("/queues/default")
    page.get_by_label("Jobs at once", exact=True).fill("7")
    page.get_by_label("Jobs a second", exact=True).fill("20")
    page.get_by_role("button", name="Set the limits").click()
    expect(page.get_by_role("status").filter(has_text="The limits hold")).to_be_visible()
    policy = console.system.client.get("/queues/default").json()["policy"]
    assert (policy["concurrency"], policy["rate"]["per_second"]) == (7, 20)
    page.get_by_label("Jobs at once", exact=True).fill("")
    page.get_by_label("Jobs a second", exact=True).fill("")
    page.get_by_role("button", name="Set the limits").click()
    expect(page.get_by_label("Jobs at once", exact=True)).to_have_value("")
    expect(page.get_by_role("button", name="Set the limits")).to_be_enabled()
    page.goto(f"{console.base}/queues")
    expect(page.locator("tr", has_text="default")).not_to_contain_text("at once")


def test_limits_that_another_one_has_changed_are_not_overwritten(console: ConsoleVisitor) -> None:
    console.allow("status of 412")
    page = console.open("/queues/default")
    page.get_by_role("button", name="live").click()  # pause: the page reads no more
    console.system.client.patch("/queues/default", json={"concurrency": 3}).raise_for_status()
    page.get_by_label("Jobs at once", exact=True).fill("9")
    page.get_by_role("button", name="Set the limits").click()
    expect(page.get_by_role("alert").first).to_contain_text("changed")
    assert console.system.client.get("/queues/default").json()["policy"]["concurrency"] == 3
    console.system.client.patch("/queues/default", json={"concurrency": None}).raise_for_status()


def test_a_form_submits_a_job_with_exact_numbers(console: ConsoleVisitor) -> None:
    page = console.open("/operations")
    page.get_by_label("Find an operation").fill("square")
    expect(page).to_have_url(re.compile(r"find=square$"))
    page.get_by_role("link", name="square_sum").click()
    page.get_by_label("data").fill("[9007199254740993, 2]")
    page.get_by_text("Options").click()
    page.get_by_label("Tags").fill("by-hand")
    console.picture("operation")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page).to_have_url(re.compile("/jobs/[0-9a-f-]{36}$"))
    job = console.system.client.get("/jobs?tag=by-hand").json()["jobs"]
    assert len(job) == 1
    assert "9007199254740993" in console.system.client.get(f"/jobs/{job[0]['job_id']}").text


def test_a_refused_field_has_its_reason_beside_it(console: ConsoleVisitor) -> None:
    console.allow("status of 422")
    page = console.open("/operations/jobproc_typed_operations.bill")
    page.get_by_label("price").fill("1.50")
    page.get_by_label("number").fill("nope")
    page.get_by_role("button", name="Submit", exact=True).click()
    field = page.locator(".field").filter(has=page.get_by_label("number"))
    expect(field.locator(".problem")).to_contain_text("uuid")
    expect(page.get_by_label("number")).to_have_value("nope")
    console.picture("refused-field")


def test_a_value_of_another_type_is_not_sent(console: ConsoleVisitor) -> None:
    page = console.open("/operations/greet")
    page.get_by_label("name").fill("Ada")
    page.get_by_label("times").fill("many")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.locator(".field .problem")).to_have_text("This is no value of its type.")


def test_a_copy_of_a_job_fills_the_form(console: ConsoleVisitor) -> None:
    job_id = console.system.submit("square_sum", 4, 5)
    console.system.wait(job_id)
    page = console.open(f"/jobs/{job_id}")
    page.get_by_role("link", name="Submit a copy").click()
    expect(page.get_by_label("data")).to_have_value("[4, 5]")
    page.get_by_role("button", name="JSON").click()
    expect(page.locator("form textarea")).to_have_value(re.compile(r'"data": \[4, 5\]'))
