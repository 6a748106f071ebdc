"""The laws of `make faults` hold for good evidence, and each one breaks for the evidence that is meant to break it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from faults.evidence import Evidence, Sample
from faults.laws import LAWS, check, report
from unit.faults.broken_feed import BROKEN_FEED
from unit.faults.broken_jobs import BROKEN_JOBS
from unit.faults.broken_requests import BROKEN_REQUESTS
from unit.faults.good_feed import with_feed
from unit.faults.good_run import GOOD

BROKEN = [*BROKEN_JOBS, *BROKEN_REQUESTS, *BROKEN_FEED]


def test_a_good_run_holds_every_law() -> None:
    verdicts = check(with_feed(GOOD))
    assert {name: verdict.violations for name, verdict in verdicts.items() if verdict.violations} == {}
    assert all(verdict.judged for verdict in verdicts.values()), "each has something to judge"


def test_a_process_that_was_busy_between_two_samples_has_not_been_idle_throughout() -> None:
    samples = [Sample(3.0 + n * 0.5, 10.0 + n * 0.5, frozenset({n % 2})) for n in range(20)]
    assert not check(replace(GOOD, samples=samples))["no_due_job_waits_beside_an_idle_worker"].violations


@pytest.mark.parametrize(
    ("law", "make"), [(law, make) for law, _, make in BROKEN], ids=[f"{law}: {reason}" for law, reason, _ in BROKEN]
)
def test_a_broken_run_breaks_the_law_that_is_meant(law: str, make: Callable[[], Evidence]) -> None:
    verdicts = check(make())
    assert verdicts[law].violations
    assert "BROKEN" in report(verdicts)


def test_every_law_has_a_run_that_breaks_it() -> None:
    assert {law for law, _, _ in BROKEN} == {law.__name__ for law in LAWS}


def test_a_law_without_facts_has_proven_nothing() -> None:
    assert report(check(Evidence(), [law for law in LAWS if law.__name__ == "nothing_is_lost"])).startswith("  VOID")
