"""An API that a proxy serves under a path: no link, redirect or page leads out of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from rig import nginx
from rig.nginx import Nginx
from rig.system import System

from common.settings.api import OWN_SEGMENTS

PREFIX = "/teams/jobs"
GOOD = {"data": [3], "operation": "square_sum"}


def links(value: Any) -> Iterator[str]:
    """Yield the links in a response body."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "links":
                yield from member.values()
            elif name == "next" and member:
                yield member
            else:
                yield from links(member)
    elif isinstance(value, list):
        for item in value:
            yield from links(item)


def check_all_links(client: httpx.Client, prefix: str) -> None:
    """Follow every link that the API gives a client whose base URL has a prefix."""
    for _ in range(2):
        submitted = client.post(f"{prefix}/jobs/", json=GOOD, headers={"Idempotency-Key": prefix or "none"})
        submitted.raise_for_status()
        client.post(f"{prefix}/jobs/", json=GOOD)
    job_id = submitted.json()["job_id"]
    body = {"action": "cancel", "filter": {"operation": "square_sum"}}
    actions = [client.post(f"{prefix}/bulk-actions", json=body) for _ in range(2)]
    answers = [*actions, client.get(f"{prefix}/jobs/{job_id}"), client.get(f"{prefix}/jobs?limit=1")]
    answers += [
        client.get(f"{prefix}/bulk-actions?limit=1"),
        client.get(f"{prefix}/errors"),
        client.get(actions[0].headers["location"]),
    ]
    found = {link for answer in answers for link in links(answer.raise_for_status().json())}
    header = client.get(f"{prefix}/jobs?limit=1").headers["link"]
    found |= {part.partition(">")[0].lstrip(" <") for part in header.split(",")}
    assert len(found) >= 15
    for link in found:
        assert link.startswith(f"{prefix}/"), link
        with client.stream("GET", link) as answer:
            assert answer.status_code in (200, 405), link
    assert actions[0].headers["location"].startswith(f"{prefix}/bulk-actions/")
    document = client.get(f"{prefix}/openapi.json").json()
    assert document.get("servers", [{"url": ""}]) == [{"url": prefix}]
    assert f"({prefix}/docs/glossary)" in document["info"]["description"]
    for path in ("docs", "docs/", "docs/glossary"):
        page = client.get(f"{prefix}/{path}")
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
        for file in re.findall(r"(?:src|href)=\"([^\"]+)\"|url: '([^']+)'", page.text):
            assert client.get(urljoin(str(page.url), "".join(file))).status_code == 200, file


PROXIES = {
    "removes the prefix, with the setting": ("proxy_pass http://127.0.0.1:{port}/;", {"JOBPROC_ROOT_PATH": PREFIX}),
    "leaves the prefix, with the setting": ("proxy_pass http://127.0.0.1:{port};", {"JOBPROC_ROOT_PATH": f"{PREFIX}/"}),
    "removes the prefix, and sends it": (
        f"proxy_pass http://127.0.0.1:{{port}}/; proxy_set_header X-Forwarded-Prefix {PREFIX};",
        {"JOBPROC_TRUSTED_PROXIES": "127.0.0.0/8"},
    ),
}


@pytest.mark.skipif(bool(nginx.missing()), reason=nginx.missing())
@pytest.mark.parametrize("proxy", PROXIES)
def test_links_lead_through_nginx_to_the_api(system: System, tmp_path: Path, proxy: str) -> None:
    lines, settings = PROXIES[proxy]
    server = Nginx(tmp_path / "nginx", f"{PREFIX}/", lines.format(port=system.port))
    system.api(**settings)
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=15) as client:
            check_all_links(client, PREFIX)
            job = client.post(f"{PREFIX}/jobs/", json=GOOD, headers={"Idempotency-Key": PREFIX})
            direct = system.client.post("/jobs/", json=GOOD, headers={"Idempotency-Key": PREFIX})
            assert direct.json()["job_id"] == job.json()["job_id"], "the prefix is no part of the request"
    finally:
        server.stop()


def test_links_without_a_proxy_have_no_prefix(system: System) -> None:
    check_all_links(system.api().client, "")


@pytest.mark.parametrize(
    ("trusted", "value", "expected"),
    [
        ("127.0.0.0/8", "/a", "/a"),
        ("127.0.0.0/8", "/a/, /b", "/a/b"),
        ("127.0.0.0/8", "/", ""),
        ("127.0.0.0/8", "//evil.example", "/default"),
        ("127.0.0.0/8", "https://evil.example", "/default"),
        ("127.0.0.0/8", "/a/../b", "/default"),
        ("127.0.0.0/8", '/"><script>', "/default"),
        ("127.0.0.0/8", "/jobs", "/default"),
        ("10.0.0.0/8", "/a", "/default"),
        ("", "/a", "/default"),
    ],
)
def test_the_prefix_of_a_trusted_proxy_counts_if_it_is_a_path(
    system: System, trusted: str, value: str, expected: str
) -> None:
    system.api(JOBPROC_ROOT_PATH="/default", JOBPROC_TRUSTED_PROXIES=trusted)
    response = system.client.get("/jobs", headers={"X-Forwarded-Prefix": value})
    assert response.headers["link"].startswith(f"<{expected}/jobs>")


def test_the_segments_that_a_prefix_must_not_begin_with_are_those_of_the_routes(system: System) -> None:
    """Otherwise the API could not tell whether a proxy has removed the prefix."""
    paths = system.api().client.get("/openapi.json").json()["paths"]
    assert {path.split("/")[1] for path in paths} | {"console", "docs", "openapi.json"} == set(OWN_SEGMENTS)
