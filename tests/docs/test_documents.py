"""Documents: links lead to files, named settings and files exist, every decision has its fields."""

import re
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from common.settings import Settings, name_of, secret_variables
from common.store.operations import catalogue
from jobproc.client.connection import configuration

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = ROOT / "docs" / "decisions"
FIELDS = ["Status", "Date", "Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
STATUS = re.compile(r"proposed|accepted|superseded by \d{4}(-[a-z0-9-]+\.md)?|rejected")
ONE_SCREEN = 60
MOST_LINES = {"README.md": 150, "CONTRIBUTING.md": 100}
LINK = re.compile(
    r"(?<!!)\[[^\]]*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)|!\[[^\]]*\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", re.MULTILINE
)
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
OUTSIDE = ("http://", "https://", "mailto:")
#: Variables between tests and tools; no settings of the product.
OTHER_VARIABLES = {
    "JOBPROC_EXAMPLES",
    "JOBPROC_FAULTS_SEED",
    "JOBPROC_TEST_FOLDER",
    "JOBPROC_TESTS_FOLDER",
    "JOBPROC_TESTS_MIGRATED",
    "JOBPROC_TESTS_POSTGRES",
    "JOBPROC_TESTS_REDIS",
    "JOBPROC_CLUSTER",
    "JOBPROC_REPOSITORY",
    "JOBPROC_URL",
}

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RECORDS = sorted(DECISIONS.glob("*.md"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def prose(path: Path) -> str:
    """Return a document without its code blocks."""
    return FENCE.sub("", path.read_text())


@cache
def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings of a document, by the rules of GitHub."""
    found: dict[str, int] = {}
    made = set()
    for heading in re.findall(r"^#+ +(.+?) *#*$", prose(path), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        again = found.get(slug, 0)
        found[slug] = again + 1
        made.add(f"{slug}-{again}" if again else slug)
    return made


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_relative_link_leads_to_something_in_the_repository(document: Path) -> None:
    for link in ("".join(groups) for groups in LINK.findall(re.sub(r"`[^`\n]*`", "", prose(document)))):
        if link.startswith(OUTSIDE):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert target.exists(), f"{link} leads nowhere"
        assert target.suffix != ".json", f"{link} leads to JSON, which nobody reads: docs/reference/api.md"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_a_document_has_one_title_and_every_code_block_ends(document: Path) -> None:
    assert document.read_text().count("\n```") + document.read_text().startswith("```") == 2 * len(
        FENCE.findall(document.read_text())
    )
    assert len(re.findall(r"^# ", prose(document), re.MULTILINE)) == 1
    assert re.match(r"(<!-- .* -->\s+)?# \S", document.read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_named_setting_exists(document: Path) -> None:
    known = {name_of(field) for field in Settings.model_fields} | OTHER_VARIABLES
    known |= {f"{variable}_FILE" for variable in secret_variables()}
    known |= {*configuration.VARIABLES, configuration.PROFILE, configuration.CONFIG_FILE}  # of the Python client
    named = set(re.findall(r"\bJOBPROC_[A-Z0-9_]+[A-Z0-9]\b", document.read_text()))
    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_named_make_target_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = document.read_text()
    code = "\n".join(re.findall(r"`([^`\n]+)`", prose(document)) + [block[0] for block in re.finditer(FENCE, text)])
    assert set(re.findall(r"(?:^|[;&|(] *|\$ )make ([a-z][a-z0-9-]*)", code, re.MULTILINE)) <= targets


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name)
def test_every_named_file_exists(document: Path) -> None:
    """The changelog is exempt: it names files of earlier releases."""
    for path in re.findall(
        r"(?<![\w/.-])((?:api|worker|common|tools|tests|docs|charts|k8s)/[\w./-]*\w)", document.read_text()
    ):
        assert (ROOT / path).exists() or (ROOT / f"{path}.py").exists(), f"{path} does not exist"


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name in MOST_LINES], ids=name)
def test_a_page_for_newcomers_is_short(document: Path) -> None:
    assert len(document.read_text().splitlines()) <= MOST_LINES[document.name]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_operation_in_an_example_exists(document: Path) -> None:
    assert set(re.findall(r'"operation": ?"(\w+)"', document.read_text())) <= {
        spec.name for spec in catalogue.built_in()
    }


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [path.name[:5] for path in RECORDS] == [f"{number:04}-" for number in range(1, len(RECORDS) + 1)]
    assert all(re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", path.name) for path in RECORDS)


def fields(record: Path) -> dict[str, str]:
    """Return the fields of a decision in their order."""
    parts = re.split(r"^\*\*([A-Z][a-z ]+):\*\*", record.read_text(), flags=re.MULTILINE)
    return {field: text.strip() for field, text in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_has_every_field_in_order_on_one_screen(record: Path) -> None:
    found = fields(record)
    assert list(found) == FIELDS
    assert all(found.values())
    assert record.read_text().startswith(f"# {record.name[:4]}: ")
    assert STATUS.fullmatch(found["Status"]), found["Status"]
    assert date.fromisoformat(found["Date"])
    assert len(record.read_text().splitlines()) <= ONE_SCREEN


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_the_tests_that_enforce_a_decision_exist(record: Path) -> None:
    enforced = fields(record)["Enforced by"]
    paths = re.findall(r"[\w./-]+/[\w./-]*\w|\w+\.toml", enforced)
    assert paths, f"nothing that could fail: {enforced}"
    for path in paths:
        assert (ROOT / path).exists(), f"{path} does not exist"
        assert (ROOT / path).is_file() or any((ROOT / path).rglob("*.py")), f"{path} is empty"


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_superseded_decision_names_a_later_one(record: Path) -> None:
    if found := re.search(r"superseded by (\d{4})", fields(record)["Status"]):
        assert record.name[:4] < found[1]
        assert list(DECISIONS.glob(f"{found[1]}-*.md"))
