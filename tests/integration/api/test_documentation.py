"""/docs and /openapi.json over HTTP. The page needs no internet."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
from rig.system import System


class Links(HTMLParser):
    """A parser that collects the URLs that a page loads, the names of its attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attrs}
        self.urls += [value for name, value in attrs if name in {"src", "href", "action", "data", "srcset"} and value]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_the_page_loads_only_files_of_the_api(read_only_system: System, path: str) -> None:
    response = read_only_system.client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    page = Links()
    page.feed(response.text)
    urls = [*page.urls, *re.findall(r"url: '([^']+)'", page.text)]
    assert len([url for url in urls if url.endswith("/openapi.json")]) == 1
    assert {urlsplit(url).path.rsplit(".", 1)[-1] for url in urls} >= {"js", "css", "json"}
    for url in urls:
        assert not urlsplit(url).scheme and not urlsplit(url).netloc, url
        assert not url.startswith("/"), "a proxy may serve the page under another path"
        asset = read_only_system.client.get(urljoin(path, url))
        assert asset.status_code == 200, url
        assert len(asset.content) > 100
    assert not re.findall(r"https?://|['\"]//", response.text)


def test_the_assets_have_their_media_types_and_load_nothing_from_other_hosts(read_only_system: System) -> None:
    script = read_only_system.client.get("/docs/static/swagger-ui-bundle.js")
    style = read_only_system.client.get("/docs/static/swagger-ui.css")
    assert "javascript" in script.headers["content-type"] and "SwaggerUIBundle" in script.text
    assert style.headers["content-type"].startswith("text/css")
    assert not re.findall(r"@import|url\((?!data:|[\"']?data:)[^)]*//", style.text)


@pytest.mark.parametrize("path", ["/docs", "/docs/glossary"])
def test_the_policy_of_a_page_allows_what_it_contains_and_nothing_else(read_only_system: System, path: str) -> None:
    """Tried in Chromium as well: Swagger UI shows, submits a job, and violates nothing."""
    response = read_only_system.client.get(path)
    policy = dict(directive.split(" ", 1) for directive in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in str(policy) and "*" not in str(policy) and "http" not in str(policy)
    for tag in ("script", "style"):
        sources = policy[f"{tag}-src"].split()
        inline = [text for text in re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", response.text, re.DOTALL) if text]
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
        assert sources == ["'self'", *(f"'sha256-{value}'" for value in hashes)]
    page = Links()
    page.feed(response.text)
    assert page.attributes & {"style"} == set(), "no hash covers a style attribute"
    assert not [name for name in page.attributes if name.startswith("on")], "no hash covers a handler"
    assert len(re.findall("<script", response.text)) == (2 if path == "/docs" else 0)


def test_the_document_is_served_as_json(read_only_system: System) -> None:
    response = read_only_system.client.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["openapi"].startswith("3.1.")
    assert set(response.json()["paths"]) == {
        "/jobs/",
        "/jobs/batch",
        "/jobs/results",
        "/jobs/validate",
        "/jobs/events",
        "/jobs/{job_id}",
        "/jobs/{job_id}/status",
        "/jobs/{job_id}/result",
        "/jobs/{job_id}/input",
        "/jobs/{job_id}/logs",
        "/jobs/{job_id}/events",
        "/jobs/{job_id}/cancel",
        "/jobs/{job_id}/retry",
        "/jobs/{job_id}/explain",
        "/batches",
        "/batches/{batch_id}",
        "/batches/{batch_id}/events",
        "/batches/{batch_id}/jobs",
        "/batches/{batch_id}/close",
        "/batches/{batch_id}/cancel",
        "/workflows",
        "/workflows/{workflow_id}",
        *(f"/workflows/{{workflow_id}}/{part}" for part in ("jobs", "cancel", "retry")),
        "/errors",
        "/bulk-actions",
        "/bulk-actions/{bulk_action_id}",
        "/bulk-actions/{bulk_action_id}/outcomes",
        "/bulk-actions/{bulk_action_id}/start",
        "/bulk-actions/{bulk_action_id}/stop",
        "/bulk-actions/{bulk_action_id}/undo",
        "/events",
        "/queues",
        "/queues/{queue_name}",
        "/queues/{queue_name}/pause",
        "/queues/{queue_name}/resume",
        "/schedules",
        "/schedules/{schedule_id}",
        "/webhooks/endpoints",
        "/webhooks/endpoints/{endpoint_id}",
        *(f"/webhooks/endpoints/{{endpoint_id}}/{part}" for part in ("rotate", "test")),
        "/webhooks/deliveries",
        "/webhooks/deliveries/{delivery_id}/redeliver",
        *(f"/schedules/{{schedule_id}}/{part}" for part in ("pause", "resume", "run", "fires")),
        "/audit",
        "/keys",
        "/keys/{key_id}/revoke",
        "/keys/{key_id}/rotate",
        "/tenants",
        "/tenants/{tenant_name}",
        "/tenants/{tenant_name}/drain",
        "/tenants/{tenant_name}/remove",
        "/tenants/{tenant_name}/resume",
        "/tenants/{tenant_name}/suspend",
        "/usage",
        "/operations",
        "/stats",
        "/workers",
        "/live",
        "/me",
        "/console/session",
        "/console/settings",
        "/livez",
        "/readyz",
        "/diagnostics",
    }


def test_the_page_links_the_glossary(read_only_system: System) -> None:
    description = read_only_system.client.get("/openapi.json").json()["info"]["description"]
    (link,) = re.findall(r"\[glossary\]\(([^)]+)\)", description)
    page = read_only_system.client.get(link)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<td><strong>low-water mark</strong></td>" in page.text


SCRIPT = "/docs/static/swagger-ui-bundle.js"


def test_a_static_file_is_sent_in_ranges_and_compressed(read_only_system: System) -> None:
    client = read_only_system.client
    whole = client.get(SCRIPT, headers={"Accept-Encoding": "identity"})
    assert whole.headers["accept-ranges"] == "bytes"
    assert "content-encoding" not in whole.headers
    zipped = client.get(SCRIPT, headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.content == whole.content
    assert zipped.num_bytes_downloaded < len(whole.content) / 2


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_the_ranges_of_a_static_file_make_up_the_file(read_only_system: System, encoding: str) -> None:
    client, size = read_only_system.client, len(read_only_system.client.get(SCRIPT).content)
    parts = []
    for first in range(0, size, 1 << 19):
        headers = {"Accept-Encoding": encoding, "Range": f"bytes={first}-{first + (1 << 19) - 1}"}
        part = client.get(SCRIPT, headers=headers)
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {first}-{min(first + (1 << 19), size) - 1}/{size}"
        assert "content-encoding" not in part.headers, "the range is of the file, not of its compressed form"
        parts.append(part.content)
    assert b"".join(parts) == client.get(SCRIPT).content


def test_a_range_outside_of_a_static_file_or_of_another_version_is_not_sent(read_only_system: System) -> None:
    client, size = read_only_system.client, len(read_only_system.client.get(SCRIPT).content)
    beyond = client.get(SCRIPT, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    other = client.get(SCRIPT, headers={"Range": "bytes=0-9", "If-Range": '"another"', "Accept-Encoding": "identity"})
    assert (other.status_code, len(other.content)) == (200, size)
    same = client.get(SCRIPT, headers={"Range": "bytes=0-9", "If-Range": client.head(SCRIPT).headers["etag"]})
    assert (same.status_code, len(same.content)) == (206, 10)
