"""Whom the death of a process is charged to."""

from dataclasses import replace

import pytest

from common.broker.doorbells import Doorbell
from common.domain.decisions import RELEASED, WORKER_LOST, Fail, Release, Retry, loop_blocked, timed_out
from common.domain.job import ClaimedJob, ClaimExtras
from common.settings import Settings
from worker.shared_memory.metrics import Layout, WorkerMetrics
from worker.shared_memory.slots import Running
from worker.supervision.crash_recovery import CrashRecovery, ExitReason

JOB = ClaimedJob("one", 1, 0, 3, "noop", None, None)
ALONE = replace(JOB, extras=ClaimExtras(isolated=True))
OTHER = ("other", 1)
ONE = ("one", 1)


def running(job_id: str) -> Running:
    return Running(1, 0, job_id, 1, 0)


@pytest.fixture
def burial(bare: pytest.MonkeyPatch) -> CrashRecovery:
    return CrashRecovery(Settings(), {}, WorkerMetrics(Layout((), ()), 1).parent, Doorbell(Settings()))


@pytest.mark.parametrize(
    ("job", "exit_reason", "ran", "decision"),
    [
        (JOB, ExitReason(), set(), Release(RELEASED)),
        (JOB, ExitReason(), {OTHER}, Release(RELEASED)),
        (JOB, ExitReason(), {("one", 2)}, Release(RELEASED)),
        (JOB, ExitReason(), {ONE, OTHER}, Release(WORKER_LOST, isolated=True)),
        (JOB, ExitReason(timed_out(5), running("other")), {ONE, OTHER}, Release(RELEASED)),
        (JOB, ExitReason(loop_blocked(5)), {ONE, OTHER}, Release(loop_blocked(5), isolated=True)),
        (JOB, ExitReason(RELEASED), {ONE, OTHER}, Release(RELEASED)),
        (JOB, ExitReason(RELEASED), {ONE}, Release(RELEASED)),
        (ALONE, ExitReason(RELEASED), {ONE}, Release(RELEASED)),
        (ALONE, ExitReason(timed_out(5), running("other")), {ONE, OTHER}, Release(RELEASED)),
    ],
)
def test_nobody_is_charged_for_what_others_did_or_may_have_done(
    burial: CrashRecovery, job: ClaimedJob, exit_reason: ExitReason, ran: set[tuple[str, int]], decision: Release
) -> None:
    assert burial._decide(job, exit_reason, ran) == decision


@pytest.mark.parametrize(
    ("job", "exit_reason", "ran"),
    [
        (JOB, ExitReason(), {ONE}),
        (JOB, ExitReason(timed_out(5), running("one")), {ONE, OTHER}),
        (JOB, ExitReason(loop_blocked(5), running("one")), {ONE, OTHER}),
        (JOB, ExitReason(loop_blocked(5)), {ONE}),
        (ALONE, ExitReason(), {ONE, OTHER}),
    ],
    ids=["it alone ran", "it ran too long", "it was seen to block", "it alone was there to block", "it was suspected before"],
)
def test_who_is_known_or_was_suspected_before_is_charged(burial: CrashRecovery, job: ClaimedJob, exit_reason: ExitReason, ran: set[tuple[str, int]]) -> None:
    decision = burial._decide(job, exit_reason, ran)
    assert isinstance(decision, Retry)
    assert decision.failure == exit_reason.failure
    assert isinstance(burial._decide(replace(job, max_attempts=1), exit_reason, ran), Fail)
