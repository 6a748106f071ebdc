"""The files of the console as the API serves them."""

import gzip
import re
from urllib.parse import urljoin

import pytest
from rig.system import System

from api.console.modules import closure
from api.console.shell import ENTRY, STYLE
from api.console.site import ConsoleSite

MAX_BYTES = 80_000
MAX_FIRST_PAGE_BYTES = 25_000
PAGES = ("", "/jobs", "/jobs/01a22faa-7674-719f-8348-084c6ee6246f", "/queues/default", "/operations/a.b", "/actions")


@pytest.fixture(scope="module")
def site() -> ConsoleSite:
    return ConsoleSite()


def sizes(site: ConsoleSite) -> dict[str, int]:
    """Return the compressed bytes of each file, by its name without the version."""
    return {name.split("/", 2)[2]: len(file.body) for name, file in site.files.items()}


def test_the_console_is_small(site: ConsoleSite) -> None:
    found = sizes(site)
    assert sum(found.values()) <= MAX_BYTES
    assert all(name.endswith((".js", ".css", ".svg")) for name in found)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_its_files_from_wherever_it_is(shared: System, path: str) -> None:
    page = shared.client.get(f"/console{path}", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) >= 5
    for link in links:
        file = shared.client.get(urljoin(str(page.url), link))
        assert file.status_code == 200, link
        assert "immutable" in file.headers["cache-control"]
        assert file.headers["content-encoding"] == "gzip"


def test_the_policy_allows_nothing_but_files_of_the_console(shared: System) -> None:
    page = shared.client.get("/console")
    policy = dict(directive.partition(" ")[::2] for directive in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == "'none'"
    assert "unsafe" not in str(policy)
    assert not re.search(r"<script>|<style>| on\w+=| style=", page.text)


def test_a_page_is_asked_for_again_by_its_etag(shared: System) -> None:
    first = shared.client.get("/console/jobs")
    again = shared.client.get("/console/jobs", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = shared.client.head("/console")
    assert (head.status_code, head.content) == (200, b"")
    version = re.search(r"static/(\w+)/", first.text)
    assert version is not None
    assert version[1] in head.headers["etag"], "the console compares this to learn of an update"


def test_a_file_is_sent_as_it_is_to_a_client_without_gzip(shared: System, site: ConsoleSite) -> None:
    name = next(name for name in site.files if name.endswith(ENTRY))
    plain = shared.client.get(f"/console/{name}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == gzip.decompress(site.files[name].body)
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/jobs/a/b",
        "/static/000000000000/main.js",
        "/static/",
        "/..%2fapi/app.py",
        "/%2e%2e/app.py",
        "//etc",
    ],
)
def test_any_other_path_is_a_problem(shared: System, path: str) -> None:
    response = shared.client.get(f"/console{path}")
    assert response.status_code == 404
    assert response.json()["type"].endswith("not-found")


def test_the_folder_leads_to_the_overview(shared: System) -> None:
    redirect = shared.client.get("/console/")
    assert (redirect.status_code, redirect.headers["location"]) == (307, "../console")


def test_another_method_gets_the_allowed_one(shared: System) -> None:
    response = shared.client.post("/console/jobs")
    assert (response.status_code, response.headers["allow"]) == (405, "GET")


def test_the_console_is_off_by_a_setting(system: System) -> None:
    system.api(JOBPROC_CONSOLE="false")
    for path in ("/console", "/console/", "/console/jobs"):
        assert system.client.get(path).status_code == 404


def test_the_first_page_is_small(site: ConsoleSite) -> None:
    found = sizes(site)
    texts = {name.split("/", 2)[2]: gzip.decompress(file.body).decode() for name, file in site.files.items()}
    loaded = closure([ENTRY, "pages/overview.js"], texts)
    first = {name: found[name] for name in (*loaded, STYLE, "theme.js", "icon.svg")}
    assert sum(first.values()) <= MAX_FIRST_PAGE_BYTES, first
