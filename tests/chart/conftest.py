"""Programs that tests of the chart need: `make chart` runs these tests and reports missing programs."""

import shutil

import pytest

PROGRAMS = ("helm", "docker", "promtool")


def pytest_report_header() -> str:
    """Return the line that lists the installed programs."""
    return "programs: " + ", ".join(f"{name} {'found' if shutil.which(name) else 'MISSING'}" for name in PROGRAMS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the missing programs, unless the tests that need one were deselected."""
    if "needs" in config.option.markexpr:
        return
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        terminalreporter.write_line(f"not run: tests that need {', '.join(missing)}")
