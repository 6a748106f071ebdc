"""Modules as they are prepared for browsers: without comments, joined, each still with its own exports."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.console import modules
from api.console.minification import plain_module
from api.console.shell import ROUTES, routes
from api.console.site import FOLDER, SCRIPTS, prepared

FILES = {
    "main.js": 'import { twice } from "./client/number.js";\nimport tag, { size as length } from "./tag.js";\n',
    "client/number.js": (
        "/**\n * Double.\n * @param {number} value\n */\nexport function twice(value) {\n  // By two.\n"
        '  return value * TWO;\n}\nconst TWO = 2;\nexport const text = "https://example.org/**";\n'
    ),
    "tag.js": "export default function (text) {\n  return text;\n}\n",
    "all.js": 'import * as number from "./client/number.js";\nexport { number as one };\nexport class Box {}\n',
}


def test_comments_and_spaces_go_and_strings_stay() -> None:
    short = plain_module(FILES["client/number.js"])
    assert short == (
        'export function twice(value){return value*TWO}\nconst TWO=2;export const text="https://example.org/**";'
    )


@pytest.mark.parametrize(
    ("source", "short"),
    [
        ('const url = "a // b"; // c\n', 'const url="a // b";'),
        ("const a = /[/*]\\/ x/g.test(b) / 2;", "const a=/[/*]\\/ x/g.test(b)/2;"),
        ("return /a b/;", "return/a b/;"),
        ("a + +b - -c;", "a+ +b- -c;"),
        (
            "f([a, b,], {c, d: `x  ${ e ? `y ${f} z` : {g} } / // w`,});",
            "f([a,b],{c,d:`x  ${e?`y ${f} z`:{g}} / // w`});",
        ),
        ("a()\n/* b */\nc()", "a()\nc()"),
        ("html`<p\n  class=a>\n  b  c\n  <i>${d}</i>\n</p>`;", "html`<p\nclass=a>b  c<i>${d}<//><//>`;"),
    ],
)
def test_spaces_go_where_they_mean_nothing(source: str, short: str) -> None:
    assert plain_module(source) == short


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
    page = 'import { one, Box } from "../all.js";\nimport tag from "../tag.js";\nimport * as all from "../all.js";\n'
    page += 'void import("../all.js").then(({ Box: Again }) => console.log('
    page += 'one.twice(21), new Box() instanceof all.Box, Again === Box, tag("x"), one.text));\n'
    sources = {name: plain_module(text) for name, text in {**FILES, "pages/page.js": page}.items()}
    core = modules.closure(["all.js", "tag.js"], sources)
    homes = {**dict.fromkeys(core, "core.mjs"), "pages/page.js": "pages/page.mjs"}
    (tmp_path / "pages").mkdir()
    for file, names in {"core.mjs": core, "pages/page.mjs": ["pages/page.js"]}.items():
        (tmp_path / file).write_text(modules.joined(file, names, sources, homes))
    argv = ["node", str(tmp_path / "pages" / "page.mjs")]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == "42 true true x https://example.org/**\n", result.stderr


def test_every_route_has_its_module_and_no_import_leads_nowhere() -> None:
    files, homes = prepared(FOLDER)
    found = routes((FOLDER / ROUTES).read_text())
    assert len(found) == len(re.findall(r"\bpage: \(\)", (FOLDER / ROUTES).read_text())) >= 24
    assert all(homes[route.module] in files for route in found)
    for name, text in files.items():
        if name.endswith(".js"):
            targets = [*modules.imports(text), *re.findall(r'import\("(\.[^"]+)"\)', text)]
            missing = [target for target in targets if modules.resolved(name, target) not in files]
            assert missing == [], name


def test_a_module_is_in_one_file_and_files_load_each_other_in_no_circle() -> None:
    files, _ = prepared(FOLDER)
    loads = {name: set(modules.closure([name], files)) - {name} for name in files if name.endswith(".js")}
    assert [(a, b) for a in loads for b in loads[a] if a in loads[b]] == []
    declared = [
        found for text in files.values() for found in re.findall(r"^const (\$\w+)=\(\(\)=>", text, re.MULTILINE)
    ]
    sources = [path for path in FOLDER.rglob("*.js") if path.name not in SCRIPTS]
    assert len(declared) == len(set(declared)) == len(sources)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_prepared_files_are_javascript(tmp_path: Path) -> None:
    for name, text in prepared(FOLDER)[0].items():
        if name.endswith(".js"):
            file = tmp_path / "file.mjs"
            file.write_text(text)
            result = subprocess.run(
                ["node", "--check", str(file)], capture_output=True, text=True, timeout=60, check=False
            )
            assert result.returncode == 0, f"{name}: {result.stderr}"


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
