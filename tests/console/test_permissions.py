"""Sign-in by a key, what scopes hide, payloads that are hidden, and the name of the installation."""

from collections.abc import Callable, Iterator

import pytest
from console.conftest import ConsoleVisitor
from playwright.sync_api import Page, expect
from rig.keys import REQUIRED, bearer, new_key
from rig.lasting_systems import lasting_system
from rig.system import System, until

REDIS_NUMBER = 56
SETTINGS = {
    **REQUIRED,
    "JOBPROC_ENVIRONMENT_NAME": "prod-eu",
    "JOBPROC_ENVIRONMENT_COLOUR": "#c0392b",
    "JOBPROC_LOGS_URL": "https://logs.example/search?q={job_id}",
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run a system that takes no request without a key; its client has one for everything."""
    with lasting_system(tmp_path_factory.mktemp("guarded"), worker_id, REDIS_NUMBER) as system:
        system.all(**SETTINGS)
        system.client.headers.update(bearer(new_key(system.database)))
        yield system


def sign_in(visitor: ConsoleVisitor, key: str, path: str = "") -> Page:
    visitor.allow("status of 401")
    page = visitor.page
    page.goto(f"{visitor.base}{path}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    return page


def test_a_key_signs_in_and_out_and_no_script_can_read_it(
    guarded: System, visit: Callable[..., ConsoleVisitor]
) -> None:
    visitor = visit(guarded)
    key = new_key(guarded.database)
    page = sign_in(visitor, key, "/queues")
    expect(page.get_by_role("heading", level=1)).to_have_text("Queues")
    expect(page.locator(".environment")).to_have_text("prod-eu")
    assert page.evaluate("() => document.cookie") == ""
    stored = page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert key not in stored
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Queues")
    page.locator("details.caller summary").click()
    visitor.picture("signed-in")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert visitor.findings() == []


def test_a_wrong_key_is_refused_with_the_reason(guarded: System, visit: Callable[..., ConsoleVisitor]) -> None:
    page = sign_in(visit(guarded), "wrong")
    expect(page.get_by_role("alert")).to_contain_text("request")
    expect(page.get_by_label("API key")).to_have_value("wrong")


def test_a_reader_sees_no_act_and_learns_which_scope_a_link_needs(
    guarded: System, visit: Callable[..., ConsoleVisitor]
) -> None:
    job_id = guarded.submit("fail_for_good", 1)
    guarded.wait(job_id)
    visitor = visit(guarded)
    page = sign_in(visitor, new_key(guarded.database, ["jobs:read"]), f"/jobs/{job_id}")
    expect(page.locator(".heading .status")).to_have_text("failed")
    expect(page.locator("#input")).to_contain_text("Hidden by your role.")
    for name in ("Retry", "Edit and retry", "Cancel"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="Submit a copy")).to_have_count(0)
    expect(page.get_by_role("link", name="Logs")).to_have_attribute("href", f"https://logs.example/search?q={job_id}")
    shown = ["Overview", "Jobs", "Errors", "Workflows", "Batches", "Operations"]
    expect(page.get_by_role("navigation").get_by_role("link")).to_have_text(shown)
    page.goto(f"{visitor.base}/queues")
    expect(page.get_by_text("This page needs the scope queues.")).to_be_visible()
    visitor.picture("no-permission")
    page.goto(visitor.base)
    expect(page.get_by_text("What queues and workers do needs the scope queues.")).to_be_visible()
    page.goto(f"{visitor.base}/jobs")
    expect(page.locator("tbody tr")).not_to_have_count(0)
    expect(page.get_by_role("button", name="Act on all")).to_have_count(0)


def test_a_key_that_is_revoked_leads_back_to_the_sign_in(guarded: System, visit: Callable[..., ConsoleVisitor]) -> None:
    visitor = visit(guarded)
    key = new_key(guarded.database, ["jobs:read"])
    page = sign_in(visitor, key, "/jobs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    guarded.client.post(f"/keys/{key.split('_')[1]}/revoke").raise_for_status()

    def is_signed_out() -> bool:
        page.get_by_role("link", name="Operations").click()
        page.get_by_role("link", name="Jobs").click()
        return page.get_by_role("heading", name="Sign in").is_visible()

    until("the console asks to sign in", is_signed_out)
