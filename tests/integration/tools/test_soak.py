"""`make soak` for some seconds: everything is read, days pass, and what must hold at the end holds."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak.run import Run


@pytest.fixture
def run() -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="jobproc-soak-") as folder:
        Path(folder).chmod(0o755)
        made = Run(Path(folder), seconds=8, every_s=1, rate=0.2)
        yield made
        made.close()


def test_a_soak_reads_everything_and_finds_that_every_job_has_ended(run: Run) -> None:
    findings = run.go()
    assert {one.rule for one in findings} == {"exact"}, "eight seconds say nothing of growth"
    assert [one.otherwise for one in findings if one.otherwise] == []
    assert next(one for one in findings if one.name == "stored jobs have ended").measured["found"] > 200
    names = {name for sample in run.samples for name in sample.figures}
    assert max(sample.figures["past partitions"] for sample in run.samples) > 0, "a day passed"
    assert {"connections jobproc-api", "live table MiB", "jobs table bytes a row", "doorbells default", "series worker", "shared MiB worker"} <= names
    roles = {look.role for sample in run.samples for look in sample.looks}
    assert {"api", "worker", "worker process", "mortal", "mortal process", "controller", "redis", "postgres jobproc-api"} <= roles
