"""The page docs/tutorial/first-job.md, and the README: what they show runs as it stands there."""

import re
from contextlib import ExitStack

import pytest
from integration.tools.test_tutorial import BLOCK, Reader
from rig.checkout import checkout
from rig.project_files import ROOT

from jobproc import testing

PAGE = ROOT / "docs" / "tutorial" / "first-job.md"


@pytest.mark.timeout(300)
def test_the_commands_of_the_page_do_what_it_says() -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    with ExitStack() as stack:
        reader = Reader(stack.enter_context(checkout()), stack)
        for kind, text in blocks:
            {"sh": reader.execute, "json": reader.compare_json, "text": reader.compare_lines}[kind](text)
    assert [kind for kind, _ in blocks].count("sh") == 7


def test_the_operation_of_the_readme_runs() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(code, "acme", "exec"), {"__name__": "acme"})  # noqa: S102 - the code of the page
    assert testing.run("acme.greet", {"name": "Ada"}).result == "Hello, Ada!"
