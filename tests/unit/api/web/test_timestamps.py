"""Timestamps in requests: each form of RFC 3339, and what else is refused with a reason."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.web.timestamps import Timestamp

ADAPTER: TypeAdapter[datetime] = TypeAdapter(Timestamp)
NOON = datetime(2030, 2, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2030-02-28T12:00:00Z", NOON),
        ("2030-02-28t12:00:00z", NOON),
        ("2030-02-28 12:00:00Z", NOON),
        ("2030-02-28T12:00:00+00:00", NOON),
        ("2030-02-28T12:00:00-00:00", NOON),
        ("2030-02-28T17:30:00+05:30", NOON),
        ("2030-03-01T11:59:00+23:59", NOON),
        ("2030-02-27T12:01:00-23:59", NOON),
        ("2030-02-28T12:00:00.5Z", NOON + timedelta(seconds=0.5)),
        ("2030-02-28T12:00:00.000001Z", NOON + timedelta(microseconds=1)),
    ],
)
def test_each_form_is_read(text: str, time: datetime) -> None:
    assert ADAPTER.validate_python(text) == time


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(9997, 12, 31)),  # noqa: DTZ001 - the offset follows
    st.integers(-1439, 1439),
    st.text("0123456789", min_size=1, max_size=40),
    st.sampled_from("Tt "),
)
def test_fractions_of_any_length_and_all_offsets_are_read(
    local: datetime, minutes: int, fraction: str, separator: str
) -> None:
    time = local.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    text = time.isoformat(separator)
    read = ADAPTER.validate_python(f"{text[:19]}.{fraction}{text[19:]}")
    assert read == time + timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2030-06-30T23:59:60Z", "leap second"),
        ("2030-06-30t23:59:60.5+00:00", "leap second"),
        ("2030-02-30T12:00:00Z", "day"),
        ("2030-02-28T12:00:00", "timezone"),
        ("2030-02-28", "RFC 3339"),
        ("1893456000", "RFC 3339"),
        ("2030-02-28T24:00:00Z", "valid datetime"),
        ("2030-02-28T12:00:00+24:00", "valid datetime"),
        ("2030-02-28T12:00:00.Z", "valid datetime"),
    ],
)
def test_what_is_no_time_of_the_calendar_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ADAPTER.validate_python(text)
    assert reason in str(refused.value)
