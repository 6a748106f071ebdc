"""Each page in light and dark, narrow, and with axe; the keys; no permission; a path prefix."""

import re
from collections.abc import Callable

import pytest
from console.conftest import ConsoleVisitor
from playwright.sync_api import expect
from rig.system import System

PAGES = (
    "",
    "/jobs",
    "/jobs/{failed}",
    "/jobs/{waiting}",
    "/queues",
    "/queues/default",
    "/operations",
    "/operations/square_sum",
    "/actions",
    "/actions/{action}",
    "/jobs?act=retry",
    "/jobs?tag=none",
    "/nothing-here",
)
NARROW = {"width": 390, "height": 844}


def named(path: str) -> str:
    """Return a path as a part of the name of a picture."""
    return re.sub(r"\W+", "-", path.format(failed="failed", waiting="waiting", action="action"))


@pytest.fixture(scope="module")
def ids(shared: System) -> dict[str, str]:
    """Make a job that failed, one that waits, and a bulk action."""
    failed = shared.submit("fail_for_good", 1)
    shared.wait(failed)
    body = {"operation": "square_sum", "data": [1], "delay_seconds": 3_600, "tags": ["waits"], "metadata": {"order": 1}}
    waiting = shared.client.post("/jobs/", json=body).json()["job_id"]
    preview = {"action": "cancel", "filter": {"tag": "waits"}}
    action = shared.client.post("/bulk-actions", json=preview).json()["bulk_action_id"]
    return {"failed": failed, "waiting": waiting, "action": action}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing(
    shared: System, visit: Callable[..., ConsoleVisitor], ids: dict[str, str], path: str, scheme: str
) -> None:
    visitor = visit(shared, color_scheme=scheme)
    if path == "/nothing-here":
        visitor.allow("status of 404")
        visitor.open("/jobs")
        visitor.page.evaluate("(path) => history.pushState(null, '', path)", f"{visitor.base}{path}")
        visitor.page.evaluate("() => dispatchEvent(new PopStateEvent('popstate'))")
        expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Nothing here")
    else:
        visitor.open(path.format(**ids))
    visitor.picture(f"page{named(path)}-{scheme}")
    assert visitor.findings() == []


@pytest.mark.parametrize("path", PAGES[:10])
def test_a_narrow_screen_scrolls_in_one_direction_only(
    shared: System, visit: Callable[..., ConsoleVisitor], ids: dict[str, str], path: str
) -> None:
    visitor = visit(shared, viewport=NARROW)
    page = visitor.open(path.format(**ids))
    visitor.picture(f"narrow{named(path)}")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= NARROW["width"]


def test_axe_finds_nothing_in_what_opens(console: ConsoleVisitor, ids: dict[str, str]) -> None:
    page = console.open(f"/jobs/{ids['failed']}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert console.findings() == []
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(page.get_by_role("dialog", name="Retry")).to_be_visible()
    assert console.findings() == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_text("As command").first.click()
    expect(page.locator(".sheet pre").first).to_be_visible()
    assert console.findings() == []
    page.keyboard.press("Escape")
    page.locator("details.caller summary").click()
    expect(page.get_by_label("Theme")).to_be_visible()
    assert console.findings() == []


def test_the_theme_is_kept_and_keys_can_be_turned_off(console: ConsoleVisitor) -> None:
    page = console.open("/queues")
    page.locator("details.caller summary").click()
    page.get_by_label("Theme").select_option("dark")
    assert page.evaluate("() => getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("() => getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.keyboard.press("g")
    page.keyboard.press("o")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.keyboard.press("?")
    page.get_by_label("Keys of one letter are on").uncheck()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.get_by_role("link", name="Jobs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")


def test_a_hidden_page_reads_nothing(console: ConsoleVisitor) -> None:
    page = console.open("/jobs")
    console.follow_each_second()
    page.evaluate("""() => {
      Object.defineProperty(document, "hidden", { get: () => true });
      document.dispatchEvent(new Event("visibilitychange"));
    }""")
    page.wait_for_load_state("networkidle")
    before = len(console.requested)
    with pytest.raises(Exception, match="Timeout"):
        page.wait_for_event("request", timeout=3_000)
    assert len(console.requested) == before


def test_a_prefix_of_paths_changes_nothing(system: System, visit: Callable[..., ConsoleVisitor]) -> None:
    visitor = visit(system.all(JOBPROC_ROOT_PATH="/teams/jobs"), prefix="/teams/jobs")
    job_id = system.submit("square_sum", 1)
    page = visitor.open()
    page.get_by_role("link", name="Jobs").click()
    expect(page.locator(f'tr[data-id="{job_id}"]')).to_be_visible()
    page.locator(f'tr[data-id="{job_id}"] a').first.click()
    expect(page.locator(".heading .status")).to_have_text("success")
    page.reload()
    expect(page.locator(".heading .status")).to_have_text("success")
    assert all("/teams/jobs/" in url for url in visitor.requested)


def test_the_palette_goes_to_pages_operations_and_jobs(console: ConsoleVisitor, ids: dict[str, str]) -> None:
    page = console.open()
    page.keyboard.press("Control+k")
    dialog = page.get_by_role("dialog", name="Go to")
    expect(dialog.get_by_role("option").first).to_be_visible()
    assert console.findings() == []
    page.keyboard.type("square_sum")
    expect(dialog.get_by_role("option")).to_contain_text(["square_sum"])
    console.picture("palette")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("square_sum")
    page.keyboard.press("Control+k")
    page.keyboard.type(ids["failed"])
    page.keyboard.press("Enter")
    expect(page.locator(".heading .status")).to_have_text("failed")
    page.keyboard.press("Control+k")
    page.keyboard.type("retry")
    expect(dialog.get_by_role("option").first).to_contain_text("retry")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Retry fail_for_good")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
