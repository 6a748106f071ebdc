"""/docs and /openapi.json over HTTP; works without internet."""

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from rig.system import System


class Links(HTMLParser):
    """Collects what a page loads, and its scripts' text."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.text = ""

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.urls += [value for name, value in attrs if name in {"src", "href", "action", "data", "srcset"} and value]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_the_page_loads_only_what_the_application_serves(served: System, path: str) -> None:
    answer = served.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    page = Links()
    page.feed(answer.text)
    urls = [*page.urls, *re.findall(r"url: '([^']+)'", page.text)]
    assert "/openapi.json" in urls
    assert {urlsplit(url).path.rsplit(".", 1)[-1] for url in urls} >= {"js", "css", "json"}
    for url in urls:
        assert not urlsplit(url).scheme and not urlsplit(url).netloc, url
        assert url.startswith("/"), "the page is served with and without a slash at its end"
        found = served.client.get(url)
        assert found.status_code == 200, url
        assert len(found.content) > 100
    assert not re.findall(r"https?://|['\"]//", answer.text)


def test_the_assets_are_what_they_say_and_load_nothing_from_elsewhere(served: System) -> None:
    script = served.client.get("/docs/static/swagger-ui-bundle.js")
    style = served.client.get("/docs/static/swagger-ui.css")
    assert "javascript" in script.headers["content-type"] and "SwaggerUIBundle" in script.text
    assert style.headers["content-type"].startswith("text/css")
    assert not re.findall(r"@import|url\((?!data:|[\"']?data:)[^)]*//", style.text)


def test_the_document_is_served_as_json(served: System) -> None:
    answer = served.client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["openapi"].startswith("3.1.")
    assert set(answer.json()["paths"]) == {
        "/jobs/",
        "/jobs/batch",
        "/jobs/{job_id}",
        "/jobs/{job_id}/status",
        "/jobs/{job_id}/result",
        "/jobs/{job_id}/events",
        "/jobs/{job_id}/cancel",
        "/jobs/{job_id}/retry",
        "/jobs/{job_id}/explain",
        "/actions",
        "/actions/{action_id}",
        "/actions/{action_id}/start",
        "/actions/{action_id}/stop",
        "/actions/{action_id}/undo",
        "/operations",
        "/stats",
        "/livez",
        "/readyz",
    }
