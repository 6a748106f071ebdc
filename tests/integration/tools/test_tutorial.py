"""The tutorial: its commands run as they stand there, and answer as it says.

Two things differ. The clone is a copy of this repository (tests/rig/checkout.py), whose environment is a copy made of
hard links: a test needs no network. And the API has a free port in place of 8000.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from rig.checkout import Checkout, Running, checkout
from rig.project_files import ROOT

from tools.servers import free_port

PAGE = ROOT / "docs" / "tutorial" / "first-operation.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLONE = "git clone"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ANYTHING = "…"
COMMANDS = 5  # up to the result of the own job
LATE_S = 10
LIMIT_S = 90  # from a running system to that result, on a quiet machine


class Reader:
    """Follows the page: runs its commands, and compares what they print."""

    def __init__(self, copy: Checkout, stack: ExitStack) -> None:
        self._copy = copy
        self._stack = stack
        self._port = str(free_port())
        self._ids: dict[str, str] = {}  # ids of the page: those of this run
        self._run: Running | None = None
        self.output = ""
        self.up_at = 0.0
        self._read: str | None = None  # the last command, if it only reads

    def execute(self, text: str) -> None:
        """Run a command of the page."""
        command = self._ours(text).strip()
        if found := re.fullmatch(r"([A-Z]+)=(\S+)", command):
            self._copy.env[found[1]] = found[2]
        elif command.startswith("make run"):
            self._run = self._stack.enter_context(self._copy.running("sh", "-c", f"exec {command} PORT={self._port}"))
            self.output = self._run.says("Ctrl-C ends it", limit_s=90)
            self.up_at = time.monotonic()
        elif not command.startswith(CLONE):
            self._read = command if command.startswith("curl") and not re.search(r" -[dX] ", command) else None
            self.output = self._copy.run("sh", "-c", command).stdout

    def edit(self, diff: str) -> None:
        """Make the change of a diff, as an editor does."""
        file = self._copy.folder.parent / "acme" / "src" / "acme" / "operations.py"
        before, after = (line[1:] for line in diff.splitlines())
        assert file.read_text().count(before) == 1
        assert self._run is not None
        position = len(self._run.printed)
        file.write_text(file.read_text().replace(before, after))
        self.output = self._run.says("changed: ", position)

    def compare_lines(self, text: str) -> None:
        """Compare what was printed: it has the lines of the page, in their order, and may have others."""
        pattern = ".*".join(
            ".*".join(map(re.escape, self._ours(line).split(ANYTHING))) for line in text.splitlines() if line
        )
        assert re.search(pattern, self.output, re.DOTALL), f"{text}\n--- is not in\n{self.output}"

    def compare_json(self, text: str) -> None:
        """Compare an answer: it has the members that the page shows, and may have others.

        It is read again for a while if it has not: a log line is stored within half a second, and a reader is slower.
        """
        end = time.monotonic() + LATE_S
        while True:
            try:
                self._compare(json.loads(text), json.loads(self.output))
            except AssertionError:
                if self._read is None or time.monotonic() > end:
                    raise
            else:
                return
            self.output = self._copy.run("sh", "-c", self._read).stdout

    def _compare(self, shown: object, real: object) -> None:
        if isinstance(shown, dict) and isinstance(real, dict):
            for name, value in shown.items():
                assert name in real, f"{name} is not in {real}"
                self._compare(value, real[name])
        elif isinstance(shown, list) and isinstance(real, list):
            assert len(shown) == len(real), real
            for one, other in zip(shown, real, strict=True):
                self._compare(one, other)
        elif isinstance(shown, str) and isinstance(real, str) and re.fullmatch(UUID, shown) and shown not in self._ids:
            assert re.fullmatch(UUID, real)
            self._ids[shown] = real
        else:
            assert (self._ids.get(shown, shown) if isinstance(shown, str) else shown) == real

    def _ours(self, text: str) -> str:
        """Return a text of the page with the port and the ids of this run."""
        for shown, real in self._ids.items():
            text = text.replace(shown, real)
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")


@pytest.fixture
def copy() -> Iterator[Checkout]:
    with checkout() as made:
        yield made


@pytest.mark.timeout(300)
def test_the_commands_of_the_tutorial_do_what_it_says(copy: Checkout) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    commands = 0
    with ExitStack() as stack:
        reader = Reader(copy, stack)
        for kind, text in blocks:
            if kind == "sh":
                reader.execute(text)
                commands += 1
                if commands == COMMANDS:
                    seconds = time.monotonic() - reader.up_at
                    print(f"from a running system to the result of the own job: {seconds:.1f} s")
                    assert seconds < LIMIT_S
            elif kind == "diff":
                reader.edit(text)
            elif kind == "json":
                reader.compare_json(text)
            elif kind == "text":
                reader.compare_lines(text)
            else:
                assert kind == "python"
                assert text.rstrip() in (copy.folder.parent / "acme" / "src" / "acme" / "operations.py").read_text()
    assert commands > COMMANDS
    assert {kind for kind, _ in blocks} == {"sh", "python", "text", "json", "diff"}


def test_the_comparison_notices_a_wrong_page() -> None:
    reader = Reader.__new__(Reader)
    reader._ids, reader._port, reader._read = {}, "1", None
    reader.output = '{"status": "FAILED", "more": 1}'
    reader.compare_json('{"status": "FAILED"}')
    reader.compare_lines("FAILED…1")
    for wrong in ('{"status": "SUCCESS"}', '{"state": "FAILED"}'):
        with pytest.raises(AssertionError):
            reader.compare_json(wrong)
    with pytest.raises(AssertionError):
        reader.compare_lines("more\nFAILED")
