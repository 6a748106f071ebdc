"""Modules as they are prepared for browsers: without comments, joined, each still with its own exports."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.console import modules
from api.console.shell import ENTRY, ROUTES, routes
from api.console.site import FOLDER, prepared

FILES = {
    "main.js": 'import { twice } from "./client/number.js";\nimport tag, { size as length } from "./tag.js";\n',
    "client/number.js": (
        "/**\n * Double.\n * @param {number} value\n */\nexport function twice(value) {\n  // By two.\n"
        '  return value * TWO;\n}\nconst TWO = 2;\nexport const text = "https://example.org/**";\n'
    ),
    "tag.js": "export default function (text) {\n  return text;\n}\n",
    "all.js": 'import * as number from "./client/number.js";\nexport { number as one };\nexport class Box {}\n',
}


def test_comments_and_indents_go_and_strings_stay() -> None:
    short = modules.without_comments(FILES["client/number.js"])
    assert "Double" not in short
    assert "By two" not in short
    assert "\n return" not in short
    assert '"https://example.org/**"' in short


def test_a_comment_in_a_line_of_code_stays() -> None:
    """A string may look like one; only lines that are nothing but a comment are certain."""
    assert modules.without_comments('const url = "a"; // b\n') == 'const url = "a"; // b\n'


def test_modules_come_after_those_that_they_load() -> None:
    assert modules.closure(["main.js"], {**FILES, "main.js": 'import { twice } from "./all.js";\n'}) == [
        "client/number.js",
        "all.js",
        "main.js",
    ]


def test_a_circle_of_modules_ends() -> None:
    files = {"a.js": 'import { b } from "./b.js";\n', "b.js": 'import { a } from "./a.js";\n'}
    assert set(modules.closure(["a.js"], files)) == {"a.js", "b.js"}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_joined_modules_run_and_export_what_each_of_them_does(tmp_path: Path) -> None:
    sources = {name: modules.without_comments(text) for name, text in FILES.items()}
    core = modules.closure(["all.js", "tag.js"], sources)
    (tmp_path / "core.mjs").write_text(modules.joined(core, sources))
    page = 'import { one, Box } from "../all.js";\nimport tag from "../tag.js";\nimport * as all from "../all.js";\n'
    page += 'console.log(one.twice(21), new Box() instanceof all.Box, tag("x"), one.text);\n'
    against = modules.against_joined("pages/page.js", page, "core.mjs", core)
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "page.mjs").write_text(against)
    argv = ["node", str(tmp_path / "pages" / "page.mjs")]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == "42 true x https://example.org/**\n", result.stderr


def test_every_route_has_its_module_and_no_import_leads_nowhere() -> None:
    files = prepared(FOLDER)
    found = routes((FOLDER / ROUTES).read_text())
    assert len(found) == len(re.findall(r"\bpage: \(\)", (FOLDER / ROUTES).read_text())) >= 9
    assert all(route.module in files for route in found)
    for name, text in files.items():
        if name.endswith(".js"):
            targets = [*modules.imports(text), *re.findall(r'import\("(\.[^"]+)"\)', text)]
            missing = [target for target in targets if modules.resolved(name, target) not in files]
            assert missing == [], name


def test_imports_are_written_as_the_preparation_reads_them() -> None:
    """A form that it does not know would load a second copy of a module."""
    core = set(
        modules.closure(
            [ENTRY], {path.relative_to(FOLDER).as_posix(): path.read_text() for path in FOLDER.rglob("*.js")}
        )
    )
    for name, text in prepared(FOLDER).items():
        if name != ENTRY and name.endswith(".js"):
            assert [
                target for target in modules.imports(text) if modules.resolved(name, target) in core - {ENTRY}
            ] == []


def test_vendored_files_are_those_that_were_published() -> None:
    rows = re.findall(
        r"^\| `(\w+\.js)` \|.*\| `([0-9a-f]{64})` \|", (FOLDER / "vendor/README.md").read_text(), re.MULTILINE
    )
    assert {name for name, _ in rows} == {path.name for path in (FOLDER / "vendor").glob("*.js")}
    for name, digest in rows:
        _, _, text = (FOLDER / "vendor" / name).read_text().partition("\n")
        text = text.replace('from"./preact.js"', 'from"preact"')
        source_map = f"//# sourceMappingURL={name.replace('.js', '.mjs')}.map\n"
        assert digest in {hashlib.sha256(f"{text}{end}".encode()).hexdigest() for end in ("", source_map)}, name
