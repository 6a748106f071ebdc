"""Pages of errors, workers, workflows, batches, schedules, webhooks, keys, audit and health: light, dark, narrow."""

import json
from collections.abc import Callable

import pytest
from console.conftest import ConsoleVisitor
from playwright.sync_api import Route, expect
from rig.system import System

PAGES = {
    "/errors": "jobs:read",
    "/errors/{group}": "jobs:read",
    "/workers": "queues",
    "/workers/{worker}": "queues",
    "/workflows": "jobs:read",
    "/workflows/{workflow}": "jobs:read",
    "/batches": "jobs:read",
    "/batches/{batch}": "jobs:read",
    "/schedules": "schedules",
    "/schedules/{schedule}": "schedules",
    "/webhooks": "webhooks",
    "/webhooks/{endpoint}": "webhooks",
    "/keys": "keys",
    "/audit": "audit",
    "/health": "admin",
}
NARROW = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def ids(shared: System) -> dict[str, str]:
    """Make one of each thing."""
    client = shared.client
    shared.wait(shared.submit("fail_for_good", 1))
    step = {"operation": "square_sum", "data": [1]}
    jobs = [{"name": "a", **step}, {"name": "b", **step, "depends_on": ["a"]}]
    workflow = client.post("/workflows", json={"jobs": jobs}).raise_for_status().json()
    batch = client.post("/batches", json={}).raise_for_status().json()
    client.post(f"/batches/{batch['batch_id']}/jobs", json=[step]).raise_for_status()
    schedule = client.post("/schedules", json={"name": "s", "cron": "@daily", "job": step}).raise_for_status().json()
    endpoint = client.post("/webhooks/endpoints", json={"url": "https://93.184.215.14/hook"}).raise_for_status().json()
    client.post("/keys", json={"name": "k", "scopes": ["jobs:read"]}).raise_for_status()
    return {
        "group": client.get("/errors").json()["errors"][0]["error_group"],
        "worker": str(client.get("/workers").json()["workers"][0]["worker"]),
        "workflow": workflow["workflow_id"],
        "batch": batch["batch_id"],
        "schedule": schedule["id"],
        "endpoint": endpoint["id"],
    }


def test_an_empty_system_says_so_on_each_page(system: System, visit: Callable[..., ConsoleVisitor]) -> None:
    system.api()
    visitor = visit(system)
    for path, text in {
        "/errors": "No job has failed in the last 24 h.",
        "/workers": "No worker process is alive.",
        "/workflows": "There is no workflow yet.",
        "/batches": "There is no batch yet.",
        "/schedules": "There is no schedule yet.",
        "/webhooks": "There is no endpoint yet.",
        "/keys": "There is no API key yet.",
        "/audit": "Nothing was done yet.",
    }.items():
        page = visitor.open(path)
        expect(page.get_by_text(text)).to_be_visible()
        assert visitor.findings() == [], path
    visitor.picture("page-empty")


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_and_a_narrow_screen_scrolls_in_one_direction(
    console: ConsoleVisitor, ids: dict[str, str], path: str
) -> None:
    page = console.open(path.format(**ids))
    expect(page.locator("[aria-busy]")).to_have_count(0)
    name = path.strip("/").replace("/", "-").replace("{", "").replace("}", "")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        console.picture(f"page-{name}-{scheme}")
        assert console.findings() == [], scheme
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]  # a dictionary of its members
    console.picture(f"narrow-{name}")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= NARROW["width"]


@pytest.mark.parametrize("path", PAGES)
def test_a_missing_scope_is_told(shared: System, console: ConsoleVisitor, ids: dict[str, str], path: str) -> None:
    caller = {**shared.client.get("/me").json(), "scopes": ["bulk"]}
    console.page.route("**/me", lambda route: route.fulfill(body=json.dumps(caller)))
    page = console.open(path.format(**ids))
    expect(page.get_by_text("You may not see this.")).to_be_visible()
    expect(page.locator("main")).to_contain_text(f"needs the scope {PAGES[path]}")
    expect(page.get_by_role("navigation").get_by_role("link")).to_have_count(1)  # those of bulk actions


@pytest.mark.parametrize("path", PAGES)
def test_a_failure_has_the_id_of_its_request(console: ConsoleVisitor, ids: dict[str, str], path: str) -> None:
    console.allow("status of 500")

    def failing(route: Route) -> None:
        if route.request.resource_type == "fetch" and not route.request.url.endswith(("/me", "/livez")):
            body = {"type": "urn:jobproc:problem:internal", "title": "Internal error", "detail": "It broke."}
            headers = {"content-type": "application/problem+json", "x-request-id": "request-7"}
            route.fulfill(status=500, headers=headers, body=json.dumps(body))
        else:
            route.continue_()

    console.page.route("**/*", failing)
    page = console.open(path.format(**ids))
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text("Internal error. It broke.")
    expect(alert).to_contain_text("request-7")


def test_a_key_leads_to_each_page(shared: System, visit: Callable[..., ConsoleVisitor]) -> None:
    page = visit(shared).open("/jobs")
    for key, title in {"e": "Errors", "r": "Workers", "w": "Workflows", "s": "Schedules", "a": "Audit"}.items():
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
