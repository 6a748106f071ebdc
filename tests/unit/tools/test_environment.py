"""The line of progress while the environment is made."""

import io
import sys

import pytest

from tools.environment import Progress, run

OUTPUT = """\
Collecting alembic==1.20.1 (from -r requirements.lock (line 3))
  Downloading alembic-1.20.1-py3-none-any.whl (250 kB)
Collecting amqp==5.3.1 (from -r requirements.lock (line 6))
  Using cached amqp-5.3.1-py3-none-any.whl (50 kB)
Installing collected packages: amqp, alembic
Successfully installed alembic-1.20.1 amqp-5.3.1
"""


class Terminal(io.StringIO):
    """A terminal, in memory."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_replaced() -> None:
    terminal = Terminal()
    code, _ = run([sys.executable, "-c", f"print({OUTPUT!r})"], Progress(9, terminal))
    assert code == 0
    assert terminal.getvalue().split("\r\x1b[K") == [
        "",
        "  package 1 of up to 9: alembic",
        "  package 2 of up to 9: amqp",
        "  installing 2 packages\n",
    ]


def test_without_a_terminal_a_line_follows_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 2.0])
    monkeypatch.setattr("tools.environment.time.monotonic", lambda: next(now))
    text = io.StringIO()
    progress = Progress(9, text)
    for line in OUTPUT.splitlines():
        progress.see(line.strip())
    progress.end()
    assert text.getvalue() == "  package 1 of up to 9: alembic\n  installing 2 packages\n"


def test_the_end_of_the_output_is_kept_for_an_error() -> None:
    lines = "\n".join(f"line {number}" for number in range(100))
    code, tail = run([sys.executable, "-c", f"print({lines!r}); raise SystemExit(3)"], Progress(9, io.StringIO()))
    assert code == 3
    assert list(tail) == [f"line {number}" for number in range(80, 100)]
