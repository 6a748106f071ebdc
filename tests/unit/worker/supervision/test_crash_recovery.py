"""Whom the death of a process is charged to."""

from dataclasses import replace

import pytest

from common.broker.doorbells import Bell
from common.domain.decisions import RELEASED, WORKER_LOST, Fail, Release, Retry, loop_blocked, timed_out
from common.domain.job import Claimed, Special
from common.settings import Settings
from worker.shared_memory.metrics import Layout, Meters
from worker.shared_memory.slots import Running
from worker.supervision.crash_recovery import Burial, Fate

JOB = Claimed("one", 1, 0, 3, "noop", None, None)
ALONE = replace(JOB, special=Special(alone=True))
OTHER = ("other", 1)
ONE = ("one", 1)


def running(job_id: str) -> Running:
    return Running(1, 0, job_id, 1, 0)


@pytest.fixture
def burial(bare: pytest.MonkeyPatch) -> Burial:
    return Burial(Settings(), {}, Meters(Layout((), ()), 1).of_parent, Bell(Settings()))


@pytest.mark.parametrize(
    ("job", "fate", "ran", "decision"),
    [
        (JOB, Fate(), set(), Release(RELEASED)),
        (JOB, Fate(), {OTHER}, Release(RELEASED)),
        (JOB, Fate(), {("one", 2)}, Release(RELEASED)),
        (JOB, Fate(), {ONE, OTHER}, Release(WORKER_LOST, alone=True)),
        (JOB, Fate(timed_out(5), running("other")), {ONE, OTHER}, Release(RELEASED)),
        (JOB, Fate(loop_blocked(5)), {ONE, OTHER}, Release(loop_blocked(5), alone=True)),
        (JOB, Fate(RELEASED), {ONE, OTHER}, Release(RELEASED)),
        (JOB, Fate(RELEASED), {ONE}, Release(RELEASED)),
        (ALONE, Fate(RELEASED), {ONE}, Release(RELEASED)),
        (ALONE, Fate(timed_out(5), running("other")), {ONE, OTHER}, Release(RELEASED)),
    ],
)
def test_nobody_is_charged_for_what_others_did_or_may_have_done(burial: Burial, job: Claimed, fate: Fate, ran: set[tuple[str, int]], decision: Release) -> None:
    assert burial._decide(job, fate, ran) == decision


@pytest.mark.parametrize(
    ("job", "fate", "ran"),
    [
        (JOB, Fate(), {ONE}),
        (JOB, Fate(timed_out(5), running("one")), {ONE, OTHER}),
        (JOB, Fate(loop_blocked(5), running("one")), {ONE, OTHER}),
        (JOB, Fate(loop_blocked(5)), {ONE}),
        (ALONE, Fate(), {ONE, OTHER}),
    ],
    ids=["it alone ran", "it ran too long", "it was seen to block", "it alone was there to block", "it was suspected before"],
)
def test_who_is_known_or_was_suspected_before_is_charged(burial: Burial, job: Claimed, fate: Fate, ran: set[tuple[str, int]]) -> None:
    decision = burial._decide(job, fate, ran)
    assert isinstance(decision, Retry)
    assert decision.failure == fate.failure
    assert isinstance(burial._decide(replace(job, max_attempts=1), fate, ran), Fail)
