"""Processes of the migrations, which end with their test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from migrations.run import Run, Start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start runs. They are killed at the end of the test."""
    runs: list[Run] = []

    def start_run(url: str, *arguments: str, **settings: str) -> Run:
        runs.append(Run(tmp_path, url, *arguments, **settings))
        return runs[-1]

    yield start_run
    for run in runs:
        run.process.kill()
        run.process.wait()
