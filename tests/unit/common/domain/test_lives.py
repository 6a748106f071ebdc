"""Whole lives of jobs: every sequence of endings of attempts, through the decision, the pauses and the table of states."""

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
STEP_OF: dict[type[Decision], Transition] = {Fail: Transition.FAIL, Retry: Transition.RETRY, Release: Transition.RELEASE}

jitters = st.floats(0, NOT_QUITE_ONE)
seconds = st.floats(0.001, 1e6)
policies = st.builds(RetryPolicy, max_attempts=st.integers(1, 12), base_s=seconds, cap_s=seconds)
ends = st.lists(
    st.tuples(st.sampled_from([None, *CHARGED, *CHARGED, AttemptOutcome.RELEASED, AttemptOutcome.RELEASED, AttemptOutcome.PERMANENT]), jitters), max_size=40
)
never_well = st.lists(st.tuples(st.sampled_from([*CHARGED, AttemptOutcome.RELEASED]), jitters), max_size=40)


@dataclass
class Life:
    """A job that runs as the worker and the store would run it; None is an attempt with a result."""

    policy: RetryPolicy
    state: State = State.PENDING
    attempt: int = 0
    released: int = 0
    decisions: list[Decision] = field(default_factory=list)
    seen: list[State] = field(default_factory=lambda: [State.PENDING])

    @property
    def charged(self) -> int:
        return self.attempt - self.released

    @property
    def pauses(self) -> list[float]:
        return [one.delay_s for one in self.decisions if isinstance(one, Retry)]

    def run(self, endings: list[tuple[AttemptOutcome | None, float]]) -> "Life":
        for ended, jitter in endings:
            if self.state in TERMINAL:
                break
            self.take(Transition.CLAIM)
            self.attempt += 1
            self.finish(ended, jitter)
            if self.state is State.RETRYING:
                self.take(Transition.DUE)
        return self

    def take(self, by: Transition) -> None:
        self.state = next_state(self.state, by)
        self.seen.append(self.state)

    def finish(self, ended: AttemptOutcome | None, jitter: float) -> None:
        if ended is None:
            self.take(Transition.SUCCEED)
            return
        job = ClaimedJob("id", self.attempt, self.released, self.policy.max_attempts, "noop", None, None)
        decision = decide(job, Failure(ended, f"number {self.attempt}", ""), self.policy, jitter)
        self.decisions.append(decision)
        self.released += isinstance(decision, Release)
        self.take(STEP_OF[type(decision)])


def failing(count: int, ended: AttemptOutcome = AttemptOutcome.ERROR) -> list[tuple[AttemptOutcome | None, float]]:
    return [(ended, 0.5)] * count


@given(policies, ends)
@example(RetryPolicy(max_attempts=1), failing(2))
@example(RetryPolicy(max_attempts=2), [(AttemptOutcome.RELEASED, 0.0)] * 5 + failing(3))
@settings(deadline=None, max_examples=100)
def test_no_life_charges_more_attempts_than_the_budget(policy: RetryPolicy, endings: list[tuple[AttemptOutcome | None, float]]) -> None:
    life = Life(policy).run(endings)
    assert 0 <= life.charged <= policy.max_attempts
    assert len(life.pauses) < policy.max_attempts
    assert life.attempt == life.charged + life.released == min(life.attempt, len(endings))


@given(policies, ends)
@settings(deadline=None, max_examples=100)
def test_a_job_ends_once_and_nothing_but_a_rerun_follows(policy: RetryPolicy, endings: list[tuple[AttemptOutcome | None, float]]) -> None:
    life = Life(policy).run(endings)
    assert [state in TERMINAL for state in life.seen].count(True) == (life.state in TERMINAL)
    assert sum(isinstance(one, Fail) for one in life.decisions) == (life.state is State.FAILED)
    if life.state in TERMINAL:
        assert life.seen[-1] is life.state
        assert {by for of, by in TRANSITIONS if of is life.state} <= {Transition.MANUAL_RETRY, Transition.UNDO}
    else:
        assert life.state is State.PENDING, "it may be claimed again"
        assert life.attempt == len(endings)


@given(policies, ends)
@settings(deadline=None, max_examples=100)
def test_a_job_ends_as_its_last_attempt_did(policy: RetryPolicy, endings: list[tuple[AttemptOutcome | None, float]]) -> None:
    life = Life(policy).run(endings)
    last = endings[life.attempt - 1][0] if life.attempt else AttemptOutcome.RELEASED
    if last is None:
        assert life.state is State.SUCCESS
    elif last is AttemptOutcome.PERMANENT or (last in CHARGED and life.charged == policy.max_attempts):
        assert life.state is State.FAILED
        assert life.decisions[-1].failure == Failure(last, f"number {life.attempt}", "")
    else:
        assert life.state is State.PENDING


@given(policies, ends)
@settings(deadline=None, max_examples=60)
def test_every_state_follows_from_the_one_before_by_the_table(policy: RetryPolicy, endings: list[tuple[AttemptOutcome | None, float]]) -> None:
    life = Life(policy).run(endings)
    legal = {(of, to) for (of, _), to in TRANSITIONS.items()}
    assert all(pair in legal for pair in zip(life.seen, life.seen[1:], strict=False))
    assert life.seen.count(State.IN_PROGRESS) == life.attempt


@given(policies, never_well)
@settings(deadline=None, max_examples=100)
def test_each_pause_doubles_the_one_before_until_the_cap_whatever_was_given_back_between(
    policy: RetryPolicy, endings: list[tuple[AttemptOutcome | None, float]]
) -> None:
    life = Life(policy).run(endings)
    used = [jitter for ended, jitter in endings[: life.attempt] if ended in CHARGED]
    for number, (pause, jitter) in enumerate(zip(life.pauses, used, strict=False)):
        full = min(policy.cap_s, policy.base_s * 2**number)
        assert full / 2 <= pause <= full <= policy.cap_s
        assert pause == pytest.approx(full * (1 + jitter) / 2)
    assert sum(life.pauses) <= policy.cap_s * (policy.max_attempts - 1)


@given(policies, never_well)
@settings(deadline=None, max_examples=60)
def test_a_job_that_never_goes_well_fails_with_its_last_charged_attempt(policy: RetryPolicy, endings: list[tuple[AttemptOutcome | None, float]]) -> None:
    life = Life(policy).run([*endings, *failing(policy.max_attempts)])
    assert life.state is State.FAILED
    assert life.charged == policy.max_attempts
    assert len(life.pauses) == policy.max_attempts - 1


@given(policies, ends, st.data())
@settings(deadline=None, max_examples=60)
def test_what_is_given_back_changes_nothing_of_the_rest_of_a_life(
    policy: RetryPolicy, endings: list[tuple[AttemptOutcome | None, float]], data: st.DataObject
) -> None:
    plain = [one for one in endings if one[0] is not AttemptOutcome.RELEASED]
    mixed = list(plain)
    for _ in range(data.draw(st.integers(0, 10))):
        mixed.insert(data.draw(st.integers(0, len(mixed))), (AttemptOutcome.RELEASED, 0.5))
    one, other = Life(policy).run(plain), Life(policy).run(mixed)
    assert (one.state, one.charged, one.pauses) == (other.state, other.charged, other.pauses)
    assert [type(d) for d in one.decisions] == [type(d) for d in other.decisions if not isinstance(d, Release)]


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_of_all_short_lives_each_is_as_its_endings_say(budget: int) -> None:
    """Every sequence of up to four endings, none left out."""
    policy = RetryPolicy(max_attempts=budget, base_s=1, cap_s=1)
    at_once = {None, AttemptOutcome.PERMANENT, AttemptOutcome.CANCELLED}
    for endings in product([None, *AttemptOutcome], repeat=4):
        life = Life(policy).run([(ended, 0.0) for ended in endings])
        charged, state = 0, State.PENDING
        for ended in endings:
            charged += ended in CHARGED
            if ended in at_once or charged == budget:
                state = State.SUCCESS if ended is None else State.FAILED
                break
        assert life.state is state, endings
