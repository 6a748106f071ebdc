"""The documentation site as the API serves it."""

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from rig.system import System

BASE = "/console/docs/"


class Resources(HTMLParser):
    """A parser that collects what a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        loads = tag != "a" and not (tag == "link" and values.get("rel") in {"next", "prev", "canonical"})
        self.urls += [url for name in ("src", "href", "data", "srcset") if loads and (url := values.get(name))]


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        resources = Resources()
        resources.feed(page.read_text())
        assert resources.urls, page
        assert [url for url in resources.urls if urlsplit(url).netloc] == [], page
    for style in site.rglob("*.css"):
        assert re.findall(r"@import|url\([\"']?(?:https?:)?//", style.read_text()) == [], style


def test_a_file_is_compressed_and_asked_for_again_by_its_etag(served: System) -> None:
    client = served.client
    page = client.get(f"{BASE}howto/submit.html")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-encoding"] == "gzip"
    assert page.headers["cache-control"] == "no-cache"
    plain = client.get(f"{BASE}howto/submit.html", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == page.text
    assert plain.headers["etag"] == page.headers["etag"]
    again = client.get(f"{BASE}howto/submit.html", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.head(f"{BASE}howto/submit.html")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", page.headers["etag"])


def test_names_with_a_hash_are_kept_for_good_and_all_others_are_asked_for(served: System, site: Path) -> None:
    style = next(site.glob("assets/stylesheets/modern/main.*.css")).relative_to(site)
    script = next(site.glob("assets/javascripts/bundle.*.js")).relative_to(site)
    assert "immutable" in served.client.get(f"{BASE}{style}").headers["cache-control"]
    assert served.client.get(f"{BASE}{script}").headers["cache-control"] == "no-cache"


def test_the_policy_of_a_page_allows_its_own_scripts_and_no_others(served: System) -> None:
    response = served.client.get(f"{BASE}reference/states.html")
    policy = dict(directive.split(" ", 1) for directive in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert "http" not in str(policy)
    assert policy["script-src"].count("sha256-") == len(re.findall("<script>", response.text)) > 0
    assert not re.findall(r"<[^>]+ on\w+=", response.text), "no hash covers a handler"


def test_the_folder_leads_to_the_first_page_under_any_prefix(served: System) -> None:
    redirect = served.client.get("/console/docs")
    assert (redirect.status_code, redirect.headers["location"]) == (307, "docs/")
    assert urljoin("https://jobs.example/teams/console/docs", redirect.headers["location"]).endswith(
        "/teams/console/docs/"
    )
    assert served.client.get(BASE).text == served.client.get(f"{BASE}index.html").text
    assert served.client.get(f"{BASE}operate/runbooks/").status_code == 200


@pytest.mark.parametrize(
    "path", ["nothing.html", "howto", "..%2fapi/app.py", "%2e%2e/app.py", "index.html.gz", "%00", "//etc/passwd"]
)
def test_any_other_path_is_a_problem(served: System, path: str) -> None:
    response = served.client.get(f"{BASE}{path}")
    assert response.status_code == 404
    assert response.json()["type"].endswith("not-found")


def test_a_wrong_method_gets_the_allowed_one(served: System) -> None:
    for path in (BASE, f"{BASE}index.html"):
        response = served.client.post(path)
        assert (response.status_code, response.headers["allow"]) == (405, "GET")


def test_a_prefix_of_paths_changes_nothing(site: Path, system: System) -> None:
    system.api(JOBPROC_DOCS_FOLDER=str(site), JOBPROC_ROOT_PATH="/teams")
    assert system.client.get(f"/teams{BASE}howto/submit.html").status_code == 200
    assert system.client.get("/teams/console/docs").headers["location"] == "docs/"


def test_without_the_folder_nothing_is_served(system: System, tmp_path: Path) -> None:
    system.api(JOBPROC_DOCS_FOLDER=str(tmp_path / "nowhere"))
    assert system.client.get("/console/docs").status_code == 404
    assert system.client.get(BASE).status_code == 404


def test_a_file_without_a_stored_copy_is_compressed_at_the_start(site: Path, system: System, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.html").write_bytes((site / "index.html").read_bytes())
    system.api(JOBPROC_DOCS_FOLDER=str(tmp_path / "docs"))
    assert system.client.get(BASE).content == gzip.decompress((site / "index.html.gz").read_bytes())
