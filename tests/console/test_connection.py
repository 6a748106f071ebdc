"""A lost connection, an updated console, a clock that is wrong, a slow API, two tabs."""

import re
import time
from collections.abc import Callable

from console.conftest import ConsoleVisitor
from playwright.sync_api import Route, expect
from rig.system import System

REFUSED = (
    "ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|ERR_INCOMPLETE"
    "|Failed to load resource"
)


def test_a_lost_connection_is_told_at_once_and_what_was_typed_stays(
    system: System, visit: Callable[..., ConsoleVisitor]
) -> None:
    system.api().worker()
    visitor = visit(system)
    visitor.allow(REFUSED)
    page = visitor.open("/operations/square_sum")
    page.get_by_label("data").fill("[1, 2]")
    system.kill("api")
    lost_at = time.monotonic()
    bar = page.locator(".bar-away")
    expect(bar).to_be_visible(timeout=15_000)
    told_s = time.monotonic() - lost_at
    expect(bar).to_contain_text(re.compile(r"No connection since \d\d:\d\d:\d\d. What you see is of \d\d:\d\d:\d\d."))
    expect(page.get_by_role("button", name="Submit", exact=True)).to_be_disabled()
    visitor.picture("connection-lost")
    system.api("api-again")
    back_at = time.monotonic()
    expect(bar).to_have_count(0, timeout=15_000)
    back_s = time.monotonic() - back_at
    expect(page.get_by_label("data")).to_have_value("[1, 2]")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page).to_have_url(re.compile("/jobs/[0-9a-f-]{36}$"))
    print(f"told after {told_s:.2f} s, live again after {back_s:.2f} s")
    assert told_s < 3, "about a second, on an idle machine"
    assert back_s < 5, "about three seconds, on an idle machine"


def test_an_update_asks_for_a_reload(shared: System, visit: Callable[..., ConsoleVisitor]) -> None:
    visitor = visit(shared)

    def updated(route: Route) -> None:
        if route.request.method == "HEAD":
            route.fulfill(status=200, headers={"ETag": '"ffffffffffff-1"'})
        else:
            route.continue_()

    visitor.page.clock.install()
    page = visitor.open("/queues")
    page.route("**/console", updated)
    page.clock.run_for(61_000)
    expect(page.get_by_text("The console was updated.")).to_be_visible()
    page.unroute("**/console")
    page.get_by_role("button", name="Reload").click()
    expect(page.get_by_text("The console was updated.")).to_have_count(0)


def test_a_module_of_an_older_console_asks_for_a_reload(console: ConsoleVisitor) -> None:
    console.allow("status of 404")
    page = console.open("/jobs")
    page.route("**/pages/queues.js", lambda route: route.fulfill(status=404))
    page.get_by_role("link", name="Queues").click()
    expect(page.get_by_role("alert").filter(has_text="could not be loaded")).to_be_visible()


def test_a_wrong_clock_is_told_and_ages_are_the_servers(console: ConsoleVisitor) -> None:
    console.system.submit("square_sum", 1)
    console.page.clock.install(time=time.time() - 600)
    page = console.open("/jobs")
    page.clock.run_for(3_000)
    expect(page.locator(".bar-clock")).to_contain_text("behind the server's")
    expect(page.locator("td.age time").first).not_to_contain_text("in ")


def test_a_slow_api_keeps_what_was_shown(console: ConsoleVisitor) -> None:
    jobs = console.system.submit_many("square_sum", [[1], [2]])
    console.system.wait(jobs[1])
    page = console.open("/jobs")
    expect(page.locator("tbody tr").first).to_be_visible()
    held: list[Route] = []
    page.route(re.compile(r"/jobs\?.*status=FAILED"), lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it
    page.get_by_role("group", name="States").get_by_role("button", name="failed").click()
    expect(page.locator(".table-frame.dimmed")).to_be_visible()
    expect(page.locator("tbody tr").first).to_be_visible()
    for route in held:
        route.continue_()
    expect(page.get_by_text("No job fits.")).to_be_visible()


def test_two_tabs_follow_the_same_job(console: ConsoleVisitor, visit: Callable[..., ConsoleVisitor]) -> None:
    body = {"operation": "square_sum", "data": [1], "delay_seconds": 3_600}
    job_id = console.system.client.post("/jobs/", json=body).json()["job_id"]
    other = visit(console.system)
    first, second = console.open(f"/jobs/{job_id}"), other.open(f"/jobs/{job_id}")
    first.get_by_role("button", name="Cancel").click()
    first.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    for page in (first, second):
        expect(page.locator(".heading .status")).to_have_text("cancelled")
