"""The decision about due instants: a model of all policies, and the times of intervals and of jitter."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.schedules.firing import Decision, DueSchedule, decide
from common.domain.schedules.policies import CatchUp, CatchUpPolicy, FireOutcome, FireReason, Overlap
from common.domain.schedules.timing import Timing

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GRACE_S = 60.0


def decided(decision: Decision) -> list[datetime]:
    """Return the instants that a decision has dealt with, in order; runs of missed ones in full."""
    found = [] if decision.pending_at is None else [decision.pending_at]
    for fire in decision.fires:
        at = fire.at
        while at <= (fire.through or fire.at):
            found.append(at)
            at += SECOND
    return sorted(found)


@given(
    late_s=st.integers(0, 300),
    overlap=st.sampled_from(Overlap),
    catch_up=st.builds(CatchUp, st.sampled_from(CatchUpPolicy), st.integers(1, 300), st.integers(1, 50)),
    unfinished=st.booleans(),
    refusal=st.sampled_from([None, FireReason.QUOTA]),
)
def test_each_due_instant_is_decided_once(
    late_s: int,
    overlap: Overlap,
    catch_up: CatchUp,
    unfinished: bool,
    refusal: FireReason | None,
) -> None:
    timing = Timing(START, every_s=1.0)
    schedule = DueSchedule(uuid4(), timing, overlap, catch_up, START, None, uuid4(), unfinished, refusal)
    now = START + late_s * SECOND
    decision = decide(schedule, now, GRACE_S, uuid4)
    assert decided(decision) == [START + number * SECOND for number in range(late_s + 1)]
    assert decision.next_at == now + SECOND
    fired = [fire for fire in decision.fires if fire.outcome is FireOutcome.FIRED]
    late_fired = [fire for fire in fired if (now - fire.at).total_seconds() > GRACE_S]
    assert len(late_fired) <= catch_up.runs
    assert all((now - fire.at).total_seconds() <= max(catch_up.within_s, GRACE_S) for fire in fired)
    assert len({fire.job for fire in fired}) == len(fired)
    if refusal is not None:
        assert fired == []
    elif overlap is not Overlap.ALLOW:
        assert len(fired) <= 1
    if fired:
        assert decision.last_job == fired[-1].job


@given(st.floats(0.05, 1_000), st.integers(-1_000_000, 1_000_000))
def test_instants_of_an_interval_are_counted_from_its_anchor(every_s: float, offset_s: int) -> None:
    timing = Timing(START, every_s=every_s)
    after = START + offset_s * SECOND
    first, second = islice(timing.after(after), 2)
    every = timedelta(seconds=every_s)
    assert after < first <= after + every
    assert second - first == every
    assert (first - START) % every == timedelta(0)


def test_an_interval_keeps_its_start_and_its_end() -> None:
    timing = Timing(START, every_s=1.0, starts_at=START, ends_at=START + 2 * SECOND)
    assert list(timing.after(START - timedelta(days=9))) == [START, START + SECOND, START + 2 * SECOND]


def test_jitter_is_spread_and_stays() -> None:
    timing = Timing(START, every_s=10.0, jitter_s=10.0)
    schedule = UUID(int=7)
    delays = [timing.due_at(schedule, at) - at for at in islice(timing.after(START), 200)]
    assert delays == [timing.due_at(schedule, at) - at for at in islice(timing.after(START), 200)]
    assert all(timedelta(0) <= delay < 10 * SECOND for delay in delays)
    assert 4 < sum(delay.total_seconds() for delay in delays) / 200 < 6


@pytest.mark.parametrize("overlap", Overlap)
def test_a_schedule_without_a_due_instant_stays_as_it_is(overlap: Overlap) -> None:
    timing = Timing(START, every_s=1.0)
    schedule = DueSchedule(uuid4(), timing, overlap, CatchUp(), START, None, None, is_last_job_unfinished=False)
    decision = decide(schedule, START - SECOND, GRACE_S, uuid4)
    assert (decision.fires, decision.next_at, decision.due_at) == ([], START, START)
