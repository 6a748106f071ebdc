"""Paths to which a sign-in leads back: of the console alone, whatever a link says."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth.sessions.return_path import checked_return_path


@pytest.mark.parametrize(
    "path", ["/console", "/console/", "/console/jobs?status=FAILED&tag=a/b#input", "/console/a:b@c"]
)
@pytest.mark.parametrize("root", ["", "/teams/jobs"])
def test_a_path_of_the_console_is_kept_without_the_prefix(path: str, root: str) -> None:
    assert checked_return_path(path, root) == path
    assert checked_return_path(root + path, root) == path


PARTS = st.sampled_from(["/", "//", "\\", ".", "..", "%2e", "%2F", "console", "session", "evil.example", "@", ":", "?",
                         "#", "https:", "\t", "\n", " ", "a", "é", "%", "start"])  # fmt: skip


@given(st.lists(PARTS, max_size=8).map("".join))
def test_no_text_leads_a_browser_out_of_the_console(text: str) -> None:
    """As a browser reads a Location: a backslash is a slash, `%2e` a dot, and dots are resolved."""
    for start in ("", "/console", "/console/"):
        try:
            path = checked_return_path(start + text, "")
        except ValueError:
            continue
        as_read = path.replace("\\", "/").replace("%2e", ".").replace("%2E", ".")
        target = urlsplit(urljoin("https://jobs.example/console/session/callback", as_read))
        assert (target.scheme, target.netloc) == ("https", "jobs.example")
        assert target.path == "/console" or target.path.startswith("/console/")
        assert not target.path.startswith("/console/session/")
