"""The pages of the site, as Python-Markdown reads them.

The documents of the repository are written for GitHub: their links lead to files, and a list may follow a line of text
at once. Here they are copied with links between the pages of the site, and with the blank lines and indents that
Python-Markdown needs.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

#: Documents outside of docs/ and their place in the site.
FURTHER = {
    "ARCHITECTURE.md": "project/architecture.md",
    "CHANGELOG.md": "project/changelog.md",
    "CODE_OF_CONDUCT.md": "project/code-of-conduct.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "ROADMAP.md": "project/roadmap.md",
    "SECURITY.md": "project/security.md",
    "charts/jobproc/README.md": "reference/chart.md",
    "clients/python/README.md": "reference/python-package.md",
}
DECISIONS = "decisions/index.md"
_FENCE = re.compile(r"^ *(```+|~~~+)")
_CODE = re.compile(r"(`+[^`]+`+)")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_ITEM = re.compile(r"^( *)([-*]|\d+\.) ")
_OUTSIDE = re.compile(r"^([a-z]+:|#)")
_NESTED_INDENT = "    "  # of Python-Markdown; GitHub takes two or three spaces too


def pages(root: Path) -> dict[str, str]:
    """Return the place of each page in the site by the path of its document in the repository."""
    documents = sorted((root / "docs").rglob("*.md"))
    places = {path.relative_to(root).as_posix(): path.relative_to(root / "docs").as_posix() for path in documents}
    places |= {document: place for document, place in FURTHER.items() if (root / document).exists()}
    return {document: re.sub(r"(^|/)README\.md$", r"\1index.md", place) for document, place in places.items()}


def write(root: Path, folder: Path) -> None:
    """Write all pages of the repository `root` to a folder."""
    places = pages(root)
    for document, place in places.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(converted((root / document).read_text(), document, places))
    (folder / DECISIONS).write_text(decisions(root))


def decisions(root: Path) -> str:
    """Return the page that lists the decision records."""
    records = sorted((root / "docs" / "decisions").glob("*.md"))
    titles = [(path.name, path.read_text().partition("\n")[0].removeprefix("# ")) for path in records]
    return "# Decisions\n\n" + "".join(f"- [{title}]({name})\n" for name, title in titles)


def converted(text: str, document: str, places: dict[str, str]) -> str:
    """Return a document as a page of the site."""
    return "\n".join(_lines(text, document, places)) + "\n"


def _lines(text: str, document: str, places: dict[str, str]) -> Iterator[str]:
    fence, in_list, before = "", False, ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence or found:
            if found and not fence:
                fence = found[1]
            elif found and found[1] == fence and line.strip() == fence:
                fence = ""
            yield line
        else:
            item = _ITEM.match(line)
            if before and ((item and not in_list) or (line.startswith("|") and not before.startswith("|"))):
                yield ""
            in_list = bool(item) or (in_list and (not line or line.startswith(" ") or bool(before)))
            yield _nested(_linked(line, document, places))
        before = line


def _nested(line: str) -> str:
    """Return a line with the indent of Python-Markdown, if it is an item in an item."""
    found = _ITEM.match(line)
    return _NESTED_INDENT + line.lstrip() if found and found[1] else line


def _linked(line: str, document: str, places: dict[str, str]) -> str:
    """Return a line whose links lead to pages of the site; of a link to another file the text is left."""

    def target(found: re.Match[str]) -> str:
        image, text, link = found.groups()
        if _OUTSIDE.match(link):
            return found[0]
        path, _, anchor = link.partition("#")
        named = posixpath.normpath(posixpath.join(posixpath.dirname(document), path))
        place = places.get(named) or places.get(f"{named}/README.md")
        if named == "docs/decisions":
            place = DECISIONS
        if image or place is None:
            return text
        relative = posixpath.relpath(place, posixpath.dirname(places[document]) or ".")
        return f"[{text}]({relative}{'#' if anchor else ''}{anchor})"

    parts: list[str] = []
    position = 0
    for found in _LINK.finditer(line):
        parts += [line[position : found.start()], found[0] if _in_code(line, found.start()) else target(found)]
        position = found.end()
    return "".join([*parts, line[position:]])


def _in_code(line: str, position: int) -> bool:
    """Return True if a position of a line is inside of code."""
    return any(code.start() < position < code.end() for code in _CODE.finditer(line))
