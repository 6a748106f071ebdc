"""The overview: figures, what needs a person, queues; an empty system."""

from collections.abc import Callable

from console.conftest import ConsoleVisitor
from playwright.sync_api import expect
from rig.system import System


def test_an_empty_system_says_how_to_send_the_first_job(system: System, visit: Callable[..., ConsoleVisitor]) -> None:
    visitor = visit(system.api())
    for path in ("", "/jobs"):
        page = visitor.open(path)
        first = page.locator(".commands pre")
        expect(first.nth(0)).to_contain_text(f"curl -X POST http://127.0.0.1:{system.port}/jobs/")
        expect(first.nth(1)).to_contain_text(f"jobproc --url http://127.0.0.1:{system.port} submit square_sum")
        expect(first.nth(2)).to_contain_text("client.submit(")
    visitor.picture("empty-system")
    expect(visitor.open("/actions").get_by_text("No bulk action was made.")).to_be_visible()


def test_a_queue_without_workers_needs_a_person(system: System, visit: Callable[..., ConsoleVisitor]) -> None:
    system.api().worker()
    visitor = visit(system)
    page = visitor.open()
    expect(page.get_by_text("All queues in time")).to_be_visible()
    system.end("worker")
    system.submit_many("square_sum", [[1], [2], [3]])
    expect(page.locator(".needs li").first).to_contain_text("default: 3 jobs wait, and no worker serves the queue.")
    expect(page.locator(".figure").filter(has_text="Waiting").locator("b")).to_have_text("3")
    expect(page.locator(".figure svg[role=img]").first).to_be_visible()
    visitor.picture("overview")
    page.locator(".needs a").first.click()
    expect(page.locator("tbody tr")).to_have_count(3)


def test_a_running_bulk_action_is_stopped_from_the_overview(console: ConsoleVisitor) -> None:
    system = console.system
    body = [{"operation": "square_sum", "data": [1], "delay_seconds": 3_600, "tags": ["bulk"]} for _ in range(30)]
    system.client.post("/jobs/batch", json=body)
    action = {"action": "reprioritise", "priority": 1, "filter": {"tag": "bulk"}, "jobs_per_second": 2}
    made = system.client.post("/bulk-actions", json=action).json()
    system.client.post(f"/bulk-actions/{made['bulk_action_id']}/start").raise_for_status()
    page = console.open()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("heading", name="Running bulk actions")).to_have_count(0)
    assert system.client.get(f"/bulk-actions/{made['bulk_action_id']}").json()["phase"] == "STOPPED"
