"""Ids of jobs, names of queues, submissions and claimed jobs."""

import re
from dataclasses import FrozenInstanceError
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.job import (
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    PRIORITIES,
    QUEUE_PATTERN,
    ClaimedJob,
    NewJob,
    first_job_id,
    job_unix_ms,
    new_job_id,
)
from common.domain.operation_spec import OperationSpec

times = st.integers(0, 2**48 - 1)
random_bits = st.integers(0, 2**80)


def test_the_layout_of_an_id_is_that_of_rfc_9562() -> None:
    """The example of its appendix A.6: 2022-02-22 19:22:22 UTC, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F."""
    assert new_job_id(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F) == UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


@given(times, random_bits)
@settings(deadline=None, max_examples=200)
def test_an_id_is_a_uuid_of_version_7_that_holds_its_time(unix_ms: int, bits: int) -> None:
    job_id = new_job_id(unix_ms, bits)
    assert job_id.version == 7
    assert job_id.variant == RFC_4122
    assert job_unix_ms(job_id) == unix_ms


@given(times, times, random_bits, random_bits)
@settings(deadline=None, max_examples=200)
def test_ids_sort_by_their_time_whatever_their_random_bits(a_ms: int, b_ms: int, a_bits: int, b_bits: int) -> None:
    if a_ms != b_ms:
        assert (new_job_id(a_ms, a_bits) < new_job_id(b_ms, b_bits)) == (a_ms < b_ms)


@given(st.integers(0, 2**74 - 1), st.integers(0, 2**74 - 1))
@settings(deadline=None, max_examples=200)
def test_different_random_bits_make_different_ids_of_one_moment(a_bits: int, b_bits: int) -> None:
    assert (new_job_id(1, a_bits) == new_job_id(1, b_bits)) == (a_bits == b_bits)


@given(times, random_bits)
@settings(deadline=None, max_examples=200)
def test_the_first_id_of_a_time_is_below_its_ids_and_above_those_of_earlier_times(unix_ms: int, bits: int) -> None:
    bound = first_job_id(unix_ms)
    assert job_unix_ms(bound) == unix_ms
    assert bound < new_job_id(unix_ms, bits)
    if unix_ms:
        assert new_job_id(unix_ms - 1, bits) < bound


@pytest.mark.parametrize("name", ["default", "a", "0", "slow.eu-1", "a_b", "q" * 63])
def test_a_queue_name_that_fits_a_redis_key_a_label_and_a_url_is_accepted(name: str) -> None:
    assert re.fullmatch(QUEUE_PATTERN, name)


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "A", "a b", "a/b", "a:b", "a\n", "ä", "a%s", "q" * 64])
def test_any_other_queue_name_is_refused(name: str) -> None:
    assert not re.fullmatch(QUEUE_PATTERN, name)


def test_released_attempts_are_not_charged() -> None:
    assert ClaimedJob("id", 5, 2, 3, "noop", None, None).charged == 3
    assert ClaimedJob("id", 1, 0, 3, "noop", None, None).charged == 1


def test_a_submission_is_frozen_and_has_the_defaults() -> None:
    job = NewJob(new_job_id(0, 0), "noop", DEFAULT_QUEUE, "{}", 3, None)
    assert job.priority == DEFAULT_PRIORITY
    assert job.priority in PRIORITIES
    assert job.trace is None
    with pytest.raises(FrozenInstanceError):
        job.priority = 0  # type: ignore[misc]  # the assignment must fail


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(None, None), (0.5, 500), (300.0, 300_000), (1.0005, 1000), (0.001, 1)]
)
def test_a_timeout_is_converted_to_milliseconds(seconds: float | None, milliseconds: int | None) -> None:
    assert OperationSpec("noop", timeout_s=seconds).timeout_ms == milliseconds
