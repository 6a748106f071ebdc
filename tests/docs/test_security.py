"""SECURITY.md: every test that it names exists, and every row names one."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"tests/[\w/.-]+\.py(?:::\w+)?", PAGE)))


@cache
def named_in(path: Path) -> frozenset[str]:
    """Return the names of the tests of a file."""
    return frozenset(re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE))


def rows() -> list[tuple[str, str]]:
    """Return the first and the last cell of each row of the tables whose last column has the tests."""
    found = []
    for table in re.findall(r"^\|.*\| test \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        for line in table.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            found.append((" | ".join(cells[:2]), cells[-1]))
    return found


@pytest.mark.parametrize("named", NAMED)
def test_a_named_test_exists(named: str) -> None:
    path, _, name = named.partition("::")
    assert (ROOT / path).is_file()
    assert not name or name in named_in(ROOT / path)


@pytest.mark.parametrize(("row", "tests"), rows())
def test_each_defence_names_a_test(row: str, tests: str) -> None:
    assert re.search(r"tests/[\w/]+\.py::test_\w+", tests), row


def test_each_attacker_has_a_table_and_each_risk_of_owasp_a_row() -> None:
    attackers = re.findall(
        r"^\| ([a-z ]+) \| [^|]+ \|$", PAGE.partition("**Attackers:**")[2].partition("###")[0], re.MULTILINE
    )
    headings = " ".join(re.findall(r"^### (.+)$", PAGE, re.MULTILINE)).lower()
    assert [attacker for attacker in attackers if attacker != "attacker" and attacker not in headings] == []
    assert len(attackers) == 1 + 6
    assert re.findall(r"^\| API(\d+) ", PAGE, re.MULTILINE) == [str(number) for number in range(1, 11)]
    assert len(rows()) > 40
