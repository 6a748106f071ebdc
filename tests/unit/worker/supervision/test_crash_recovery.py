"""Decisions about the jobs of a process that has ended: which attempt is charged."""

from dataclasses import replace

import pytest

from common.broker.doorbells import Doorbell
from common.domain.decisions import RELEASED, WORKER_LOST, Fail, Release, Retry, loop_blocked, timed_out
from common.domain.job import ClaimedJob, ClaimExtras
from common.settings import Settings
from worker.shared_memory.metrics import Layout, WorkerMetrics
from worker.shared_memory.slots import RunningAttempt
from worker.supervision.crash_recovery import CrashRecovery, ExitReason

JOB = ClaimedJob("this", 1, 0, 3, "noop", None, None)
ISOLATED = replace(JOB, extras=ClaimExtras(isolated=True))
OTHER = ("other", 1)
THIS = ("this", 1)


def running(job_id: str) -> RunningAttempt:
    return RunningAttempt(1, 0, job_id, 1, 0)


@pytest.fixture
def recovery(bare: pytest.MonkeyPatch) -> CrashRecovery:
    return CrashRecovery(Settings(), {}, WorkerMetrics(Layout((), ()), 1).parent, Doorbell(Settings()))


@pytest.mark.parametrize(
    ("job", "exit_reason", "ran", "decision"),
    [
        (JOB, ExitReason(), set(), Release(RELEASED)),
        (JOB, ExitReason(), {OTHER}, Release(RELEASED)),
        (JOB, ExitReason(), {("this", 2)}, Release(RELEASED)),
        (JOB, ExitReason(), {THIS, OTHER}, Release(WORKER_LOST, isolated=True)),
        (JOB, ExitReason(timed_out(5), running("other")), {THIS, OTHER}, Release(RELEASED)),
        (JOB, ExitReason(loop_blocked(5)), {THIS, OTHER}, Release(loop_blocked(5), isolated=True)),
        (JOB, ExitReason(RELEASED), {THIS, OTHER}, Release(RELEASED)),
        (JOB, ExitReason(RELEASED), {THIS}, Release(RELEASED)),
        (ISOLATED, ExitReason(RELEASED), {THIS}, Release(RELEASED)),
        (ISOLATED, ExitReason(timed_out(5), running("other")), {THIS, OTHER}, Release(RELEASED)),
    ],
)
def test_a_job_is_not_charged_for_a_failure_that_another_job_caused_or_may_have_caused(
    recovery: CrashRecovery, job: ClaimedJob, exit_reason: ExitReason, ran: set[tuple[str, int]], decision: Release
) -> None:
    assert recovery._decide(job, exit_reason, ran) == decision


@pytest.mark.parametrize(
    ("job", "exit_reason", "ran"),
    [
        (JOB, ExitReason(), {THIS}),
        (JOB, ExitReason(timed_out(5), running("this")), {THIS, OTHER}),
        (JOB, ExitReason(loop_blocked(5), running("this")), {THIS, OTHER}),
        (JOB, ExitReason(loop_blocked(5)), {THIS}),
        (ISOLATED, ExitReason(), {THIS, OTHER}),
    ],
    ids=[
        "the only job that ran",
        "the job that timed out",
        "the job that was seen to block the loop",
        "the only job that could block the loop",
        "a job that was suspected before",
    ],
)
def test_a_job_that_is_the_known_culprit_or_was_suspected_before_is_charged(
    recovery: CrashRecovery, job: ClaimedJob, exit_reason: ExitReason, ran: set[tuple[str, int]]
) -> None:
    decision = recovery._decide(job, exit_reason, ran)
    assert isinstance(decision, Retry)
    assert decision.failure == exit_reason.failure
    assert isinstance(recovery._decide(replace(job, max_attempts=1), exit_reason, ran), Fail)
