"""Ids of jobs, and what a claim returns."""

import re
from dataclasses import FrozenInstanceError
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.job import DEFAULT_PRIORITY, DEFAULT_QUEUE, PRIORITIES, QUEUE_PATTERN, ClaimedJob, NewJob, first_job_id, job_unix_ms, new_job_id
from common.domain.operation_spec import OperationSpec

times = st.integers(0, 2**48 - 1)
chances = st.integers(0, 2**80)


def test_the_layout_is_the_one_of_rfc_9562() -> None:
    """The example of its appendix A.6: 2022-02-22 19:22:22 UTC, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F."""
    assert new_job_id(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F) == UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


@given(times, chances)
@settings(deadline=None, max_examples=200)
def test_an_id_is_a_uuid_of_version_7_that_tells_its_time(unix_ms: int, chance: int) -> None:
    made = new_job_id(unix_ms, chance)
    assert made.version == 7
    assert made.variant == RFC_4122
    assert job_unix_ms(made) == unix_ms


@given(times, times, chances, chances)
@settings(deadline=None, max_examples=200)
def test_ids_sort_by_their_time_whatever_their_chance(one_ms: int, other_ms: int, one: int, other: int) -> None:
    if one_ms != other_ms:
        assert (new_job_id(one_ms, one) < new_job_id(other_ms, other)) == (one_ms < other_ms)


@given(st.integers(0, 2**74 - 1), st.integers(0, 2**74 - 1))
@settings(deadline=None, max_examples=200)
def test_different_chance_makes_different_ids_of_one_moment(one: int, other: int) -> None:
    assert (new_job_id(1, one) == new_job_id(1, other)) == (one == other)


@given(times, chances)
@settings(deadline=None, max_examples=200)
def test_the_bound_of_a_time_lies_before_its_ids_and_behind_those_before(unix_ms: int, chance: int) -> None:
    bound = first_job_id(unix_ms)
    assert job_unix_ms(bound) == unix_ms
    assert bound < new_job_id(unix_ms, chance)
    if unix_ms:
        assert new_job_id(unix_ms - 1, chance) < bound


@pytest.mark.parametrize("name", ["default", "a", "0", "slow.eu-1", "a_b", "q" * 63])
def test_names_of_queues_that_fit_a_redis_key_a_label_and_a_url_are_taken(name: str) -> None:
    assert re.fullmatch(QUEUE_PATTERN, name)


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "A", "a b", "a/b", "a:b", "a\n", "ä", "a%s", "q" * 64])
def test_other_names_of_queues_are_not(name: str) -> None:
    assert not re.fullmatch(QUEUE_PATTERN, name)


def test_attempts_given_back_are_not_charged() -> None:
    assert ClaimedJob("id", 5, 2, 3, "noop", None, None).charged == 3
    assert ClaimedJob("id", 1, 0, 3, "noop", None, None).charged == 1


def test_a_submission_cannot_be_changed_and_has_the_defaults() -> None:
    job = NewJob(new_job_id(0, 0), "noop", DEFAULT_QUEUE, "{}", 3, None)
    assert job.priority == DEFAULT_PRIORITY
    assert job.priority in PRIORITIES
    assert job.trace is None
    with pytest.raises(FrozenInstanceError):
        job.priority = 0  # type: ignore[misc]  # that is what must fail


@pytest.mark.parametrize(("seconds", "milliseconds"), [(None, None), (0.5, 500), (300.0, 300_000), (1.0005, 1000), (0.001, 1)])
def test_a_limit_is_told_in_milliseconds(seconds: float | None, milliseconds: int | None) -> None:
    assert OperationSpec("noop", timeout_s=seconds).timeout_ms == milliseconds
