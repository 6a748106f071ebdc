"""Pages of the documentation site: all documents are there, and are converted for Python-Markdown."""

import re
from pathlib import Path

import pytest

from tools.site import sources

ROOT = Path(__file__).resolve().parents[4]
PLACES = {
    "docs/a.md": "a.md",
    "docs/howto/b.md": "howto/b.md",
    "docs/howto/README.md": "howto/index.md",
    "SECURITY.md": "project/security.md",
}


def converted(text: str, document: str = "docs/howto/b.md") -> str:
    return sources.converted(text, document, PLACES).removesuffix("\n")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[a](../a.md)", "[a](../a.md)"),
        ("[a](../a.md#part)", "[a](../a.md#part)"),
        ("[how](README.md), [how](../howto)", "[how](index.md), [how](index.md)"),
        ("[safe](../../SECURITY.md)", "[safe](../project/security.md)"),
        ("[why](../decisions)", "[why](../decisions/index.md)"),
        ("[code](../../api/app.py), [folder](../../tests)", "code, folder"),
        ("[out](https://example.org), [here](#part)", "[out](https://example.org), [here](#part)"),
        ("`[a](../../api/app.py)`", "`[a](../../api/app.py)`"),
        ("![picture](x.png)", "picture"),
    ],
)
def test_a_link_leads_to_a_page_or_is_text(link: str, expected: str) -> None:
    assert converted(link) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("words:\n- one\n- two", "words:\n\n- one\n- two"),
        ("words:\n1. one\n   more\n2. two", "words:\n\n1. one\n   more\n2. two"),
        ("words\n| a |\n|---|\n| b |", "words\n\n| a |\n|---|\n| b |"),
        ("- one\n  - inner\n- two", "- one\n    - inner\n- two"),
        ("- one\n\nwords\n- two", "- one\n\nwords\n\n- two"),
        ("```\nwords\n- one\n[a](../../api/app.py)\n```", "```\nwords\n- one\n[a](../../api/app.py)\n```"),
        ("```\n[a](x)\n```\nwords\n- one", "```\n[a](x)\n```\nwords\n\n- one"),
    ],
)
def test_lists_and_tables_begin_as_python_markdown_reads_them(text: str, expected: str) -> None:
    assert converted(text) == expected


def test_every_page_is_in_the_navigation_or_in_a_list() -> None:
    """Decisions and runbooks are listed by a page of their own."""
    named = set(re.findall(r"(?:- |: )([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    places = set(sources.pages(ROOT).values())
    listed = {place for place in places if place.startswith(("decisions/", "operate/runbooks/Jobproc"))}
    assert places - listed == named - {sources.DECISIONS}


def test_every_decision_is_listed() -> None:
    page = sources.decisions(ROOT)
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert page.count("\n- [") == len(records)
    assert f"]({records[0].name})" in page
