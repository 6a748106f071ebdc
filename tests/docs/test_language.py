"""Language: glossary terms are used, struck words stay away, docstrings name their subject, prose is wrapped."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
from rig.project_files import PRODUCT, ROOT, all_files

GLOSSARY = ROOT / "docs" / "glossary.md"
ME = Path(__file__).resolve()
MAX_COLUMNS = 120
TEXT = {".py", ".md", ".yaml", ".tpl", ".txt", ".toml", ".mako"}
MADE_BY_TOOLS = ("docs/reference/", "charts/jobproc/README.md", "charts/jobproc/dashboards/")
#: Words that were struck from the language, and the term that replaced each.
STRUCK = {
    r"rerun(s|ning)?": "run, manual retry",
    r"epochs?(?! FROM| milliseconds| seconds)": "run",
    r"uniq": "unique_keys",
    r"seats?": "slot",
    r"lookouts?": "idle poll",
    r"buri(al|ed|es)|bury": "recover, crash recovery",
    r"criers?": "change notification",
    r"wakeups?": "change notification",
    r"singly": "row by row",
    r"deaf": "stalled",
    r"dut(y|ies)": "controller task",
    r"whoever|whomever": "the actor's name",
    r"who waits": "a waiting client",
    r"floated|float(s)? strays?": "requeue",
    r"to be had": "available",
}
OPENERS = {"What", "Who", "Whose", "Whom", "Whether", "How", "That", "Whatever", "Whoever"}


def terms() -> list[str]:
    """Return the terms of the glossary."""
    return re.findall(r"^\| \*\*(.+?)\*\* \|", GLOSSARY.read_text(), re.MULTILINE)


@cache
def texts() -> dict[str, str]:
    """Return the text of each file of the project, by its path; files that tools make are left out."""
    named = {path.relative_to(ROOT).as_posix(): path for path in all_files() if path.suffix in TEXT and path != ME}
    return {name: path.read_text() for name, path in sorted(named.items()) if not name.startswith(MADE_BY_TOOLS)}


def struck(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the word of each struck word in a text. SQL's `extract(epoch …)` is none."""
    pattern = re.compile(rf"(?<![\w-])({'|'.join(STRUCK)})(?![\w-])", re.IGNORECASE)
    for number, line in enumerate(text.splitlines(), 1):
        plain = re.sub(r"(extract\(|date_part\(')epoch|SOURCE_DATE_EPOCH|Unix epoch", "", line)
        yield from ((number, found[0]) for found in pattern.finditer(plain))


def openings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the first word of each docstring that begins without a subject."""
    for node in described(ast.parse(path.read_text())):
        words = (ast.get_docstring(node) or "").split()
        if words and words[0].rstrip(",:") in OPENERS:
            yield getattr(node, "lineno", 1), " ".join(words[:6])


def described(node: ast.AST) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield what may have a docstring in a tree: a tenth of its nodes are statements, and no other is looked into."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from described(child)


def wide(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a document that are too wide: not tables, code blocks, links and headings."""
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("```", "~~~")):
            code = not code
        if len(line) > MAX_COLUMNS and not code and not line.lstrip().startswith(("|", "#", "[", "<!--")):
            yield number, f"{path}: {len(line)} columns"


@pytest.mark.parametrize("term", terms())
def test_a_term_of_the_glossary_is_used(term: str) -> None:
    words = [re.escape(part) for part in re.split("[- ]", term)]
    word = re.compile(rf"(?<!\w){'[-_ ]'.join(words)}(s|es|d|ed|r)?(?!\w)", re.IGNORECASE)
    used = (path for path, text in texts().items() if path != "docs/glossary.md" and word.search(text))
    assert len(list(islice(used, 2))) == 2, f"{term}: nothing is called so"


def test_the_glossary_is_in_order_one_line_a_term() -> None:
    assert terms() == sorted(terms(), key=str.lower)
    assert len(terms()) > 25


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_the_glossary_is_linked_where_people_begin(page: str) -> None:
    assert "docs/glossary.md" in (ROOT / page).read_text()


def test_struck_words_do_not_come_back() -> None:
    skip = {"common/settings/renamed.py"}
    found = [
        f"{path}:{line}: {word}" for path, text in texts().items() if path not in skip for line, word in struck(text)
    ]
    assert not found, f"the glossary has other words for these ({STRUCK})\n" + "\n".join(found)


@pytest.mark.parametrize("bad", ["the seat of a process", "an epoch ends", "JobprocDuty is a duty", "it is buried"])
def test_a_struck_word_is_found(bad: str) -> None:
    assert list(struck(bad))


@pytest.mark.parametrize("good", ["extract(epoch FROM now())", "SOURCE_DATE_EPOCH", "a slot", "run 1 of the job"])
def test_other_words_are_not(good: str) -> None:
    assert not list(struck(good))


def test_a_docstring_begins_with_its_subject_or_a_verb() -> None:
    folders = (*PRODUCT, "tools", "tests", "k8s")
    files = [ROOT / path for path in texts() if path.endswith(".py") and path.startswith(folders)]
    found = [f"{path.relative_to(ROOT)}:{line}: {words}" for path in files for line, words in openings(path)]
    assert len(files) > 100
    assert not found, "\n".join(found)


def test_a_docstring_without_a_subject_is_found(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text('"""What is kept."""\ndef f():\n    """How it goes."""\ndef g():\n    """Return what is kept."""\n')
    assert [words.split()[0] for _, words in openings(file)] == ["What", "How"]


def test_prose_is_wrapped() -> None:
    found = [text for path, content in texts().items() if path.endswith(".md") for _, text in wide(path, content)]
    assert not found, "\n".join(found)


def test_a_wide_line_is_found() -> None:
    assert len(list(wide("x.md", f"{'word ' * 30}\n| {'cell ' * 30} |\n```\n{'code ' * 30}\n```\n"))) == 1
