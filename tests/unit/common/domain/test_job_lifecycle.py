"""Whole job cycles of jobs: sequences of outcomes through the decision, the backoff and the table of states."""

from dataclasses import dataclass, field
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.domain.decisions import AttemptOutcome, Decision, Fail, Failure, Release, Retry, decide
from common.domain.job import ClaimedJob
from common.domain.retry import RetryPolicy
from common.domain.states import TERMINAL, TRANSITIONS, State, Transition, next_state

NOT_QUITE_ONE = 0.9999999999999999
CHARGED = (AttemptOutcome.ERROR, AttemptOutcome.TIMEOUT, AttemptOutcome.LOST)
TRANSITION_OF: dict[type[Decision], Transition] = {
    Fail: Transition.FAIL,
    Retry: Transition.RETRY,
    Release: Transition.RELEASE,
}

jitters = st.floats(0, NOT_QUITE_ONE)
seconds = st.floats(0.001, 1e6)
policies = st.builds(RetryPolicy, max_attempts=st.integers(1, 12), base_s=seconds, cap_s=seconds)
outcomes_with_jitter = st.lists(
    st.tuples(
        st.sampled_from(
            [None, *CHARGED, *CHARGED, AttemptOutcome.RELEASED, AttemptOutcome.RELEASED, AttemptOutcome.PERMANENT]
        ),
        jitters,
    ),
    max_size=40,
)
failing_outcomes = st.lists(st.tuples(st.sampled_from([*CHARGED, AttemptOutcome.RELEASED]), jitters), max_size=40)


Outcomes = list[tuple[AttemptOutcome | None, float]]  # with the jitter; None: the attempt had a result


@dataclass
class Lifecycle:
    """A job that goes through its attempts as the worker and the store would take it."""

    policy: RetryPolicy
    state: State = State.PENDING
    attempt: int = 0
    released: int = 0
    decisions: list[Decision] = field(default_factory=list)
    states: list[State] = field(default_factory=lambda: [State.PENDING])

    @property
    def charged(self) -> int:
        return self.attempt - self.released

    @property
    def delays(self) -> list[float]:
        return [decision.delay_s for decision in self.decisions if isinstance(decision, Retry)]

    def run(self, outcomes: Outcomes) -> "Lifecycle":
        for outcome, jitter in outcomes:
            if self.state in TERMINAL:
                break
            self.change(Transition.CLAIM)
            self.attempt += 1
            self.finish(outcome, jitter)
            if self.state is State.RETRYING:
                self.change(Transition.DUE)
        return self

    def change(self, transition: Transition) -> None:
        self.state = next_state(self.state, transition)
        self.states.append(self.state)

    def finish(self, outcome: AttemptOutcome | None, jitter: float) -> None:
        if outcome is None:
            self.change(Transition.SUCCEED)
            return
        job = ClaimedJob("id", self.attempt, self.released, self.policy.max_attempts, "noop", None, None)
        decision = decide(job, Failure(outcome, f"number {self.attempt}", ""), self.policy, jitter)
        self.decisions.append(decision)
        self.released += isinstance(decision, Release)
        self.change(TRANSITION_OF[type(decision)])


def failing(count: int, outcome: AttemptOutcome = AttemptOutcome.ERROR) -> Outcomes:
    return [(outcome, 0.5)] * count


@given(policies, outcomes_with_jitter)
@example(RetryPolicy(max_attempts=1), failing(2))
@example(RetryPolicy(max_attempts=2), [(AttemptOutcome.RELEASED, 0.0)] * 5 + failing(3))
@settings(deadline=None, max_examples=100)
def test_a_job_is_never_charged_more_than_max_attempts(policy: RetryPolicy, outcomes: Outcomes) -> None:
    job = Lifecycle(policy).run(outcomes)
    assert 0 <= job.charged <= policy.max_attempts
    assert len(job.delays) < policy.max_attempts
    assert job.attempt == job.charged + job.released == min(job.attempt, len(outcomes))


@given(policies, outcomes_with_jitter)
@settings(deadline=None, max_examples=100)
def test_a_job_ends_once_and_only_a_manual_retry_or_an_undo_follows(policy: RetryPolicy, outcomes: Outcomes) -> None:
    job = Lifecycle(policy).run(outcomes)
    assert [state in TERMINAL for state in job.states].count(True) == (job.state in TERMINAL)
    assert sum(isinstance(decision, Fail) for decision in job.decisions) == (job.state is State.FAILED)
    if job.state in TERMINAL:
        assert job.states[-1] is job.state
        assert {transition for before, transition in TRANSITIONS if before is job.state} <= {
            Transition.MANUAL_RETRY,
            Transition.UNDO,
        }
    else:
        assert job.state is State.PENDING, "it can be claimed again"
        assert job.attempt == len(outcomes)


@given(policies, outcomes_with_jitter)
@settings(deadline=None, max_examples=100)
def test_a_job_ends_as_its_last_attempt_did(policy: RetryPolicy, outcomes: Outcomes) -> None:
    job = Lifecycle(policy).run(outcomes)
    last = outcomes[job.attempt - 1][0] if job.attempt else AttemptOutcome.RELEASED
    if last is None:
        assert job.state is State.SUCCESS
    elif last is AttemptOutcome.PERMANENT or (last in CHARGED and job.charged == policy.max_attempts):
        assert job.state is State.FAILED
        assert job.decisions[-1].failure == Failure(last, f"number {job.attempt}", "")
    else:
        assert job.state is State.PENDING


@given(policies, outcomes_with_jitter)
@settings(deadline=None, max_examples=60)
def test_every_state_follows_from_the_previous_one_by_the_table(policy: RetryPolicy, outcomes: Outcomes) -> None:
    job = Lifecycle(policy).run(outcomes)
    legal = {(before, after) for (before, _), after in TRANSITIONS.items()}
    assert all(pair in legal for pair in zip(job.states, job.states[1:], strict=False))
    assert job.states.count(State.IN_PROGRESS) == job.attempt


@given(policies, failing_outcomes)
@settings(deadline=None, max_examples=100)
def test_each_delay_doubles_the_previous_one_up_to_the_cap_whatever_attempts_are_released(
    policy: RetryPolicy, outcomes: Outcomes
) -> None:
    job = Lifecycle(policy).run(outcomes)
    jitters_used = [jitter for outcome, jitter in outcomes[: job.attempt] if outcome in CHARGED]
    for number, (delay, jitter) in enumerate(zip(job.delays, jitters_used, strict=False)):
        full = min(policy.cap_s, policy.base_s * 2**number)
        assert full / 2 <= delay <= full <= policy.cap_s
        assert delay == pytest.approx(full * (1 + jitter) / 2)
    assert sum(job.delays) <= policy.cap_s * (policy.max_attempts - 1)


@given(policies, failing_outcomes)
@settings(deadline=None, max_examples=60)
def test_a_job_whose_every_attempt_fails_ends_with_its_last_charged_attempt(
    policy: RetryPolicy, outcomes: Outcomes
) -> None:
    job = Lifecycle(policy).run([*outcomes, *failing(policy.max_attempts)])
    assert job.state is State.FAILED
    assert job.charged == policy.max_attempts
    assert len(job.delays) == policy.max_attempts - 1


@given(policies, outcomes_with_jitter, st.data())
@settings(deadline=None, max_examples=60)
def test_released_attempts_change_nothing_else_in_the_life_of_a_job(
    policy: RetryPolicy, outcomes: Outcomes, data: st.DataObject
) -> None:
    without: Outcomes = [(outcome, jitter) for outcome, jitter in outcomes if outcome is not AttemptOutcome.RELEASED]
    mixed = list(without)
    for _ in range(data.draw(st.integers(0, 10))):
        mixed.insert(data.draw(st.integers(0, len(mixed))), (AttemptOutcome.RELEASED, 0.5))
    job, other = Lifecycle(policy).run(without), Lifecycle(policy).run(mixed)
    assert (job.state, job.charged, job.delays) == (other.state, other.charged, other.delays)
    assert [type(d) for d in job.decisions] == [type(d) for d in other.decisions if not isinstance(d, Release)]


@pytest.mark.parametrize("max_attempts", [1, 2, 3])
def test_every_short_sequence_of_outcomes_ends_in_the_expected_state(max_attempts: int) -> None:
    """Every sequence of four outcomes, none left out."""
    policy = RetryPolicy(max_attempts=max_attempts, base_s=1, cap_s=1)
    final = {None, AttemptOutcome.PERMANENT, AttemptOutcome.CANCELLED}
    for outcomes in product([None, *AttemptOutcome], repeat=4):
        job = Lifecycle(policy).run([(outcome, 0.0) for outcome in outcomes])
        charged, state = 0, State.PENDING
        for outcome in outcomes:
            charged += outcome in CHARGED
            if outcome in final or charged == max_attempts:
                state = State.SUCCESS if outcome is None else State.FAILED
                break
        assert job.state is state, outcomes
