"""The list of jobs: filters in the URL, rows that stay where they are, acts on rows and on the selection."""

import re
from collections.abc import Callable

import pytest
from console.conftest import ConsoleVisitor
from playwright.sync_api import expect
from rig.system import System


@pytest.fixture(scope="module", autouse=True)
def jobs(shared: System) -> list[str]:
    """Submit jobs that succeed, fail and wait."""
    done = shared.submit_many("square_sum", [[number] for number in range(30)])
    failed = shared.submit_many("fail_for_good", [[1], [2], [3]])
    for job_id in done + failed:
        shared.wait_status(job_id, "SUCCESS", "FAILED")
    return done + failed


def later(system: System, *tags: str) -> str:
    body = {"operation": "square_sum", "data": [1], "delay_seconds": 3_600, "tags": list(tags)}
    return str(system.client.post("/jobs/", json=body).json()["job_id"])


def test_filters_are_in_the_url_and_a_link_shows_the_same(
    console: ConsoleVisitor, visit: Callable[..., ConsoleVisitor]
) -> None:
    page = console.open("/jobs")
    expect(page.locator("tbody tr")).not_to_have_count(0)
    page.get_by_role("group", name="States").get_by_role("button", name="failed").click()
    expect(page).to_have_url(re.compile(r"/console/jobs\?status=FAILED$"))
    page.keyboard.press("/")
    page.keyboard.type("operation:fail_for_good")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"status=FAILED&operation=fail_for_good$"))
    expect(page.locator("tbody tr")).to_have_count(3)
    console.picture("jobs")
    other = visit(console.system)
    shared_link = other.open(page.url.removeprefix(console.base))
    expect(shared_link.locator("tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Remove the filter operation").click()
    expect(page).to_have_url(re.compile(r"\?status=FAILED$"))
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(3)
    page.go_forward()
    expect(page).to_have_url(re.compile(r"\?status=FAILED$"))


def test_newer_jobs_wait_until_they_are_asked_for(console: ConsoleVisitor) -> None:
    page = console.open("/jobs?operation=square_sum")
    console.follow_each_second()
    first = page.locator("tbody tr").first
    expect(first).to_be_visible()
    before = first.get_attribute("data-id")
    ids = console.system.submit_many("square_sum", [[1], [2]])
    expect(page.get_by_role("button", name="2 newer · show")).to_be_visible()
    assert first.get_attribute("data-id") == before
    page.keyboard.press("n")
    expect(first).to_have_attribute("data-id", ids[1])
    expect(page.locator(".newer")).to_have_count(0)


def test_a_row_changes_in_its_place(console: ConsoleVisitor) -> None:
    job_id = later(console.system)
    page = console.open("/jobs?operation=square_sum")
    console.follow_each_second()
    row = page.locator(f'tr[data-id="{job_id}"]')
    expect(row).to_contain_text("scheduled")
    later(console.system)
    console.system.client.post(f"/jobs/{job_id}/cancel")
    expect(row).to_contain_text("cancelled")


def test_a_row_that_matches_no_longer_stays_and_says_so(console: ConsoleVisitor) -> None:
    job_id = later(console.system, "leaves")
    page = console.open("/jobs?status=SCHEDULED&tag=leaves")
    console.follow_each_second()
    row = page.locator(f'tr[data-id="{job_id}"]')
    expect(row).to_contain_text("scheduled")
    console.system.client.post(f"/jobs/{job_id}/cancel")
    expect(row).to_contain_text("left")


def test_keys_walk_select_and_act_with_a_second_key(console: ConsoleVisitor) -> None:
    ids = [later(console.system, "keys") for _ in range(3)]
    page = console.open("/jobs?tag=keys")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("X")
    expect(page.get_by_role("toolbar", name="Selected jobs")).to_contain_text("2 jobs selected")
    page.keyboard.press("k")
    page.keyboard.press("c")
    dialog = page.get_by_role("dialog", name="Cancel square_sum")
    expect(dialog).to_contain_text("ends cancelled at once")
    assert console.system.status(ids[1]) == "SCHEDULED", "one key cancels nothing"
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("status").filter(has_text="The job is cancelled.")).to_be_visible()
    assert console.system.status(ids[1]) == "CANCELLED"
    expect(page.locator(f'tr[data-id="{ids[1]}"]')).to_contain_text("cancelled")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/jobs/{ids[0]}$"))


def test_the_selection_is_acted_on_and_told(console: ConsoleVisitor) -> None:
    ids = [later(console.system, "chosen") for _ in range(2)]
    console.system.client.post(f"/jobs/{ids[0]}/cancel")
    page = console.open("/jobs?tag=chosen")
    page.get_by_label("Select all rows of the page").check()
    page.get_by_role("toolbar").get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 selected job will be cancelled. 1 other will be left alone")
    dialog.get_by_text("As command").click()
    expect(dialog.locator("pre").first).to_contain_text(
        f"curl -X POST {console.base.removesuffix('/console')}/jobs/{ids[1]}/cancel"
    )
    dialog.get_by_role("button", name="Cancel 1 job").click()
    expect(dialog).to_have_count(0)
    assert console.system.status(ids[1]) == "CANCELLED"


def test_an_id_opens_its_job_and_the_end_of_one_filters(console: ConsoleVisitor, jobs: list[str]) -> None:
    page = console.open("/jobs")
    page.keyboard.press("/")
    page.keyboard.type(jobs[0][-12:])
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"id_suffix={jobs[0][-12:]}"))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.keyboard.type(jobs[1])  # the field still has the focus
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/jobs/{jobs[1]}$"))


def test_pages_go_older_and_back(console: ConsoleVisitor) -> None:
    page = console.open("/jobs?operation=square_sum&rows=20")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(20)
    first = rows.first.get_attribute("data-id")
    page.keyboard.press("]")
    expect(page).to_have_url(re.compile("cursor="))
    expect(rows.first).not_to_have_attribute("data-id", first or "")
    page.keyboard.press("[")
    expect(rows.first).to_have_attribute("data-id", first or "")


def test_nothing_fits_and_a_filter_that_does_not_exist(console: ConsoleVisitor) -> None:
    page = console.open("/jobs?tag=nobody-has-it")
    expect(page.get_by_text("No job fits.")).to_be_visible()
    console.picture("nothing-fits")
    page.keyboard.press("/")
    page.keyboard.type("colour:red")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="There is no filter colour.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page).to_have_url(re.compile(r"/console/jobs$"))
    expect(page.locator("tbody tr")).not_to_have_count(0)


def test_a_refused_filter_shows_its_field_and_the_request_id(console: ConsoleVisitor) -> None:
    console.allow("status of 422")
    page = console.open("/jobs?created_after=yesterday")
    message = page.get_by_role("alert").filter(has_text="created_after").first
    expect(message).to_contain_text("request")
    console.picture("refused-filter")


def test_a_short_page_goes_on(system: System, visit: Callable[..., ConsoleVisitor]) -> None:
    system.api(JOBPROC_LIST_SCAN_JOBS="100").worker()
    wanted = system.submit("fail_for_good", 1)
    system.wait(wanted)
    system.submit_many("square_sum", [[number] for number in range(250)])
    visitor = visit(system)
    page = visitor.open("/jobs?operation=fail_for_good")
    expect(page.get_by_text("Looked at 100 rows, none fits so far.")).to_be_visible()
    visitor.picture("short-page")
    for _ in range(4):
        if page.get_by_role("button", name="Go on").is_visible():
            page.get_by_role("button", name="Go on").click()
            page.wait_for_load_state("networkidle")
    expect(page.locator(f'tr[data-id="{wanted}"]')).to_be_visible()
