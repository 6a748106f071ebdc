"""`make soak` for some seconds: everything is read, days pass, and what must hold at the end holds."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak.run import Run
from soak.samples import Sampler


@pytest.fixture
def run() -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="jobproc-soak-") as folder:
        Path(folder).chmod(0o755)
        made = Run(Path(folder), seconds=8, every_s=1, rate=0.2)
        yield made
        made.close()


@pytest.mark.timeout(240)  # servers and five processes of its own
def test_a_soak_reads_everything_and_finds_that_every_job_has_ended(run: Run) -> None:
    findings = run.go()
    assert {one.rule for one in findings} == {"exact"}, "eight seconds say nothing of growth"
    assert [one.otherwise for one in findings if one.otherwise] == []
    assert next(one for one in findings if one.name == "stored jobs have ended").measured["found"] > 200
    sample = Sampler(run.place).take(0.0)  # those of the run are few where the machine is slow
    assert {"connections jobproc-api", "live table MiB", "jobs table bytes a row", "doorbells default", "series worker", "past MiB"} <= set(sample.figures)
    roles = {look.role for look in [*sample.looks, *run.samples[0].looks]}
    assert {"api", "worker", "worker process", "mortal", "mortal process", "controller", "redis", "postgres jobproc-api"} <= roles
