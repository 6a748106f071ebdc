"""Cron expressions: Vixie's documented rules, the extensions, and a brute-force oracle around changes of the clocks."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.schedules import cron

BERLIN, CAIRO, SANTIAGO = "Europe/Berlin", "Africa/Cairo", "America/Santiago"
LORD_HOWE = "Australia/Lord_Howe"


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def instants(expression: str, zone: str, start: datetime, number: int) -> list[datetime]:
    return list(islice(cron.parse(expression).after(start, ZoneInfo(zone)), number))


def texts(expression: str, zone: str, start: datetime, number: int) -> list[str]:
    return [
        at.strftime("%Y-%m-%d %H:%M" + (":%S" if at.second else "")).removeprefix(f"{start.year}-")
        for at in instants(expression, zone, start, number)
    ]


@pytest.mark.parametrize(
    ("expression", "zone", "start", "expected"),
    [
        # 02:30 does not exist on 2026-03-29 in Berlin: once, at 03:00, which is 01:00 in UTC.
        ("30 2 * * *", BERLIN, utc(2026, 3, 28, 12), ["03-29 01:00", "03-30 00:30", "03-31 00:30"]),
        ("0 30 2 * * *", BERLIN, utc(2026, 3, 28, 12), ["03-29 01:00", "03-30 00:30"]),
        ("0,30 2 * * *", BERLIN, utc(2026, 3, 28, 12), ["03-29 01:00", "03-30 00:00", "03-30 00:30"]),
        ("*/30 * * * *", BERLIN, utc(2026, 3, 29, 0, 10), ["03-29 00:30", "03-29 01:00", "03-29 01:30"]),
        ("15 * * * *", BERLIN, utc(2026, 3, 28, 23, 30), ["03-29 00:15", "03-29 01:15", "03-29 02:15"]),
        # 02:30 is twice on 2026-10-25: the first time.
        ("30 2 * * *", BERLIN, utc(2026, 10, 24, 12), ["10-25 00:30", "10-26 01:30", "10-27 01:30"]),
        ("0 30 2 * * *", BERLIN, utc(2026, 10, 24, 12), ["10-25 00:30", "10-26 01:30"]),
        ("30 2 * * *", BERLIN, utc(2026, 10, 25, 1, 10), ["10-26 01:30", "10-27 01:30"]),
        (
            "*/30 * * * *",
            BERLIN,
            utc(2026, 10, 24, 23, 45),
            ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00"],
        ),
        ("0 * * * *", BERLIN, utc(2026, 10, 24, 23, 30), ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        ("@hourly", BERLIN, utc(2026, 10, 24, 23, 30), ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        ("0 0 * * *", CAIRO, utc(2026, 4, 22, 12), ["04-22 22:00", "04-23 22:00", "04-24 21:00"]),
        ("30 23 * * *", SANTIAGO, utc(2026, 4, 3, 12), ["04-04 02:30", "04-05 02:30", "04-06 03:30"]),
        # Midnight is skipped: 00:00 is no hour of that day for what goes by elapsed time.
        ("0 */2 * * 0", SANTIAGO, utc(2026, 9, 6), ["09-06 05:00", "09-06 07:00"]),
        ("15 2 * * *", LORD_HOWE, utc(2026, 10, 2, 18), ["10-03 15:30", "10-04 15:15"]),
    ],
)
def test_changes_of_the_clocks(expression: str, zone: str, start: datetime, expected: list[str]) -> None:
    assert texts(expression, zone, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("0 0 29 2 *", utc(2026, 1, 1), ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 31 * *", utc(2026, 1, 1), ["01-31 00:00", "03-31 00:00", "05-31 00:00", "07-31 00:00"]),
        ("*/7 * * * *", utc(2026, 1, 1, 0, 50), ["01-01 00:56", "01-01 01:00", "01-01 01:07"]),
        ("10-40/15 * * * *", utc(2026, 1, 1), ["01-01 00:10", "01-01 00:25", "01-01 00:40", "01-01 01:10"]),
        ("0 9 * jan-mar mon-fri", utc(2026, 1, 1), ["01-01 09:00", "01-02 09:00", "01-05 09:00"]),
        ("0 0 * * Sun", utc(2026, 1, 1), ["01-04 00:00", "01-11 00:00"]),
        ("0 0 * * 7", utc(2026, 1, 1), ["01-04 00:00", "01-11 00:00"]),
        ("0 0 * * 1", utc(2026, 1, 1), ["01-05 00:00", "01-12 00:00"]),
        ("0 0 * * 5-7", utc(2026, 1, 1), ["01-02 00:00", "01-03 00:00", "01-04 00:00", "01-09 00:00"]),
        ("0 0 13 * 5", utc(2026, 1, 1), ["01-02 00:00", "01-09 00:00", "01-13 00:00", "01-16 00:00"]),
        ("0 0 */10 * 1", utc(2026, 1, 1), ["05-11 00:00", "06-01 00:00", "08-31 00:00"]),
        ("@daily", utc(2026, 1, 1, 1), ["01-02 00:00"]),
        ("0 0 L * *", utc(2026, 1, 1), ["01-31 00:00", "02-28 00:00"]),
        ("0 0 LW * *", utc(2026, 1, 1), ["01-30 00:00", "02-27 00:00"]),
        ("0 0 * * 5#2", utc(2026, 1, 1), ["01-09 00:00", "02-13 00:00"]),
        ("0 0 * * 5L", utc(2026, 1, 1), ["01-30 00:00", "02-27 00:00"]),
        ("*/20 * * * * *", utc(2026, 1, 1), ["01-01 00:00:20", "01-01 00:00:40", "01-01 00:01"]),
        ("5,50 0 12 * * *", utc(2026, 1, 1, 12, 0, 5), ["01-01 12:00:50", "01-02 12:00:05"]),
    ],
)
def test_documented_rules_and_extensions(expression: str, start: datetime, expected: list[str]) -> None:
    assert texts(expression, "UTC", start, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("60 * * * *", "its minute"),
        ("0 24 * * *", "its hour"),
        ("0 0 * *", "has 4 fields"),
        ("0 0 0 * * * *", "has 7 fields"),
        ("", "has 0 fields"),
        ("0 0 * * 8", "its day of week"),
        ("40-10 * * * *", "its minute"),
        ("*/0 * * * *", "its minute"),
        ("0 0 31 2 *", "its day of month"),
        ("0 0 15W * *", "W, the weekday nearest"),
        ("0 0 ? * 1", "? is not supported"),
        ("H 2 * * *", "H, which"),
        ("61 * * * * *", "its second"),
        ("@reboot", "none of the names"),
        ("* " * 101, "characters"),
        ("0 0 * * L5", "its day of week"),
        ("² * * * *", "its minute"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_reason(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("?", r"\?")):
        cron.parse(expression)


def test_an_expression_that_never_matches_ends() -> None:
    assert instants("0 0 30 2 1#5", "UTC", utc(2026, 1, 1), 1) != []  # day of month or of week
    assert instants("0 0 * 2 1#5", "UTC", utc(2026, 1, 1), 1) == [utc(2044, 2, 29)]


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../../etc/passwd", "", "localtime"])
def test_a_zone_that_is_not_ianas_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="IANA"):
        cron.zone_of(name)


def test_lord_howe_is_a_known_limit() -> None:
    """Its clocks change by half an hour: by elapsed time cronsim leaves out the minutes before the change ends."""
    found = instants("*/10 * * * *", LORD_HOWE, utc(2026, 4, 4, 14), 12)
    assert found == sorted(set(found))  # in order, and none twice


CHANGES = {
    BERLIN: [(2026, 3, 29), (2026, 10, 25)],
    "America/New_York": [(2026, 3, 8), (2026, 11, 1)],
    SANTIAGO: [(2026, 4, 5), (2026, 9, 6)],
    CAIRO: [(2026, 4, 24), (2026, 10, 30)],
}


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        st.integers(2, max(2, (high - low) // 2)).map(lambda step: f"*/{step}"),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.lists(number, min_size=1, max_size=3, unique=True).map(lambda ns: ",".join(map(str, sorted(ns)))),
    )


def _values(field: str, low: int, high: int) -> set[int]:
    values: set[int] = set()
    for part in field.split(","):
        term, _, step = part.partition("/")
        first, _, last = term.partition("-")
        bounds = (low, high) if term == "*" else (int(first), int(last or first))
        values |= set(range(bounds[0], bounds[1] + 1, int(step or 1)))
    return values


def _oracle(expression: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """Look at every minute, by the rules of Debian's cron."""
    fields = expression.split()
    minutes, hours, days = (
        _values(field, low, high) for field, low, high in zip(fields[:3], (0, 0, 1), (59, 23, 31), strict=True)
    )
    weekdays = {day % 7 for day in _values(fields[4], 0, 7)}
    by_elapsed_time = fields[0].startswith("*") or fields[1].startswith("*")
    both_days = fields[2].startswith("*") or fields[4].startswith("*")

    def matches(local: datetime) -> bool:
        day, weekday = local.day in days, local.isoweekday() % 7 in weekdays
        is_day = (day and weekday) if both_days else (day or weekday)
        return local.minute in minutes and local.hour in hours and is_day

    found, at, minute = [], start.replace(second=0) + timedelta(minutes=1), timedelta(minutes=1)
    while at <= end:
        local, before = at.astimezone(zone), (at - minute).astimezone(zone)
        fires = by_elapsed_time and matches(local)
        if not by_elapsed_time:
            is_first_pass = local.fold == 0
            fires = is_first_pass and matches(local)
            skipped = before.replace(tzinfo=None) + minute
            while skipped < local.replace(tzinfo=None):
                fires, skipped = fires or matches(skipped), skipped + minute
        if fires:
            found.append(at)
        at += minute
    return found


def test_a_skipped_midnight_is_no_match_of_another_hour() -> None:
    """In Santiago the day begins at 01:00 then. By elapsed time `*/2` waits for 02:00."""
    assert instants("* */2 */5 * *", SANTIAGO, utc(2026, 9, 5, 22), 1) == [utc(2026, 9, 6, 5)]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_expressions_equal_an_oracle_around_changes_of_the_clocks(data: st.DataObject) -> None:
    zone = data.draw(st.sampled_from(sorted(CHANGES)))
    year, month, day = data.draw(st.sampled_from(CHANGES[zone]))
    hour = data.draw(st.one_of(_field(0, 5), _field(0, 23)))
    expression = f"{data.draw(_field(0, 59))} {hour} {data.draw(_field(1, 31))} * {data.draw(_field(0, 7))}"
    start = utc(year, month, day) - timedelta(minutes=data.draw(st.integers(120, 1_800)))
    end = start + timedelta(days=2)
    expected = _oracle(expression, ZoneInfo(zone), start, end)[:60]
    found = [at for at in instants(expression, zone, start, 60) if at <= end]
    assert found == expected
