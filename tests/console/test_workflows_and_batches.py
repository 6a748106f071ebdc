"""Workflows: graph, list, retry of the failed part, cancel. Batches: counts, close, cancel, jobs."""

import re
from typing import Any

from console.conftest import ConsoleVisitor
from playwright.sync_api import expect
from rig.system import System, until


def step(name: str, *after: str, operation: str = "flow_plain", **values: Any) -> dict[str, Any]:
    return {"name": name, "operation": operation, "input": values, **({"depends_on": list(after)} if after else {})}


def submitted(system: System, *jobs: dict[str, Any]) -> str:
    return str(system.client.post("/workflows", json={"jobs": list(jobs)}).raise_for_status().json()["workflow_id"])


def wait(system: System, workflow_id: str, status: str) -> None:
    until(status, lambda: system.client.get(f"/workflows/{workflow_id}").json()["status"] == status)


def test_a_filter_that_nothing_fits_is_taken_away(console: ConsoleVisitor) -> None:
    submitted(console.system, step("only"))
    page = console.open("/workflows?status=RUNNING&cursor=")
    page.get_by_label("State").select_option("CANCELLED")
    expect(page).to_have_url(re.compile("status=CANCELLED"))
    page.get_by_label("State").select_option("SUCCEEDED")
    expect(page.locator("tbody tr").first).to_contain_text("succeeded")
    page.go_back()
    expect(page.get_by_label("State")).to_have_value("CANCELLED")


def test_alike_jobs_are_one_node_that_unfolds(console: ConsoleVisitor) -> None:
    parts = [f"part-{number}" for number in range(14)]
    workflow_id = submitted(
        console.system,
        step("split", operation="flow_step"),
        *(step(part, "split") for part in parts),
        step("join", *parts, operation="flow_step"),
    )
    wait(console.system, workflow_id, "SUCCEEDED")
    page = console.open("/workflows")
    page.get_by_role("link", name=f"Workflow …{workflow_id[-12:]}").focus()
    page.keyboard.press("Enter")
    graph = page.get_by_role("group", name="Graph of the workflow")
    expect(graph.locator("ol > li")).to_have_count(3)
    folded = graph.get_by_role("button", name="flow_plain × 14")  # noqa: RUF001 - the sign of the page
    expect(folded).to_have_attribute("aria-expanded", "false")
    expect(graph).to_contain_text("14 success")
    assert console.findings() == []
    folded.click()
    expect(graph.locator("ul li a")).to_have_count(10)
    graph.get_by_role("button", name="4 more").click()
    expect(graph.locator("ul li a")).to_have_count(14)
    console.picture("workflow")
    assert console.findings() == []
    rows = page.get_by_role("table", name="Jobs of the workflow").locator("tbody tr")
    expect(rows).to_have_count(16)
    graph.get_by_role("link", name="split").click()
    expect(page).to_have_url(re.compile("/jobs/[0-9a-f-]{36}$"))
    page.go_back()
    expect(graph.locator("ol > li")).to_have_count(3)


def test_the_failed_part_runs_again(console: ConsoleVisitor) -> None:
    marker = console.system.folder / "broken"
    marker.touch()
    workflow_id = submitted(
        console.system,
        step("first", operation="flow_step"),
        step("breaks", "first", operation="flow_step", fails_while="broken"),
        step("last", "breaks", operation="flow_step"),
    )
    wait(console.system, workflow_id, "FAILED")
    page = console.open(f"/workflows/{workflow_id}")
    graph = page.get_by_role("group", name="Graph of the workflow")
    expect(graph.locator('li[data-failed="true"]').first).to_contain_text("breaks")
    console.picture("workflow-failed")
    marker.unlink()
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Retry the failed part")
    expect(dialog).to_contain_text("The 1 that succeeded keep their results")
    dialog.get_by_role("button", name="Retry", exact=True).click()
    expect(page.locator('[data-phase="SUCCEEDED"]')).to_be_visible()
    expect(page.get_by_role("button", name="Retry the failed part")).to_have_count(0)
    expect(graph.locator('li[data-failed="true"]')).to_have_count(0)


def test_a_workflow_is_cancelled(console: ConsoleVisitor) -> None:
    workflow_id = submitted(console.system, step("slow", operation="flow_step", seconds=30), step("next", "slow"))
    page = console.open(f"/workflows/{workflow_id}")
    page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog", name="Cancel the workflow")
    expect(dialog).to_contain_text("2 unfinished jobs")
    dialog.get_by_role("button", name="Cancel the jobs").click()
    expect(page.locator('[data-phase="CANCELLED"]')).to_be_visible()
    wait(console.system, workflow_id, "CANCELLED")


def test_a_batch_counts_its_jobs_and_is_closed(console: ConsoleVisitor) -> None:
    client = console.system.client
    batch_id = client.post("/batches", json={"follow_up": {"operation": "square_sum", "data": [1]}}).json()["batch_id"]
    jobs = [{"operation": "square_sum", "data": [1]}] * 3
    client.post(f"/batches/{batch_id}/jobs", json=jobs).raise_for_status()
    page = console.open("/batches")
    page.get_by_role("link", name=f"Batch …{batch_id[-12:]}").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".figure", has_text="Succeeded")).to_contain_text("3")
    expect(page.get_by_role("table", name="Newest jobs of the batch").locator("tbody tr")).to_have_count(3)
    assert console.findings() == []
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_role("dialog", name="Close the batch").get_by_role("button", name="Close", exact=True).last.click()
    expect(page.locator('[data-phase="ENDED"]')).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("square_sum …"))).to_be_visible()
    console.picture("batch")
    page.get_by_role("link", name="Jobs", exact=True).last.click()
    expect(page).to_have_url(re.compile(f"batch={batch_id}"))


def test_a_batch_is_cancelled(console: ConsoleVisitor) -> None:
    client = console.system.client
    batch_id = client.post("/batches", json={}).json()["batch_id"]
    delayed = [{"operation": "square_sum", "data": [1], "delay_seconds": 600}] * 2
    client.post(f"/batches/{batch_id}/jobs", json=delayed).raise_for_status()
    page = console.open(f"/batches/{batch_id}")
    page.keyboard.press("c")
    page.get_by_role("dialog", name="Cancel the batch").get_by_role("button", name="Cancel the jobs").click()
    expect(page.locator(".figure", has_text="Cancelled")).to_contain_text("2")
    assert client.get(f"/batches/{batch_id}").json()["counts"]["cancelled"] == 2


def test_an_unknown_workflow_has_the_id_of_its_request(console: ConsoleVisitor) -> None:
    console.allow("status of 404")
    page = console.open("/workflows/01a22faa-7674-719f-8348-084c6ee6246f")
    expect(page.get_by_role("alert")).to_contain_text("request")
