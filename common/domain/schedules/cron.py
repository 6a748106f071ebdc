"""Cron expressions, with the rules of Vixie's cron where the clocks change (Debian's cron(8) and crontab(5)).

A time that the clocks skip fires at their first minute after the gap, once. A time that comes twice fires the first
time. An expression whose minute or hour begins with `*` goes by elapsed time: in the repeated hour it fires in both.
cronsim does the arithmetic; beside it are the names such as `@daily`, the seconds, and the order: begun within a
repeated hour it gives the hour's first pass, which is an instant of the past; and days whose midnight the clocks skip.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import cast
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

MAX_CHARACTERS = 200  #: of an expression
NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A valid cron expression."""

    minutes: str  #: the five fields from the minute on
    seconds: tuple[int, ...]  #: of each such minute, in order

    def after(self, instant: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Yield the instants after an instant, in order and in UTC; for fifty years at most without a match."""
        # The minute of the instant may have further seconds.
        start = instant if self.seconds == (0,) else instant.replace(second=0, microsecond=0) - _MINUTE
        last = instant
        for minute in _Cron(self.minutes, start.astimezone(zone)):
            at = minute.astimezone(UTC)
            for second in self.seconds:
                if (candidate := at + timedelta(seconds=second)) > last:
                    yield candidate
                    last = candidate


class _Cron(CronSim):
    """cronsim, with days and months that begin at a time that exists, where the clocks skip midnight."""

    def advance_day(self) -> bool:
        """Go to the next day that matches. Returns True if that is another one."""
        has_moved = super().advance_day()
        if has_moved:
            self._to_existing_time()
        return has_moved

    def advance_month(self) -> None:
        """Go to the next month that matches."""
        before = self.dt
        super().advance_month()
        if self.dt is not before:
            self._to_existing_time()

    def _to_existing_time(self) -> None:
        if self.dt.tzinfo not in (None, UTC):  # else cronsim moves it at the end
            self.dt = self.dt.astimezone(UTC).astimezone(self.dt.tzinfo)


@lru_cache(maxsize=1_024)
def parse(text: str) -> CronExpression:
    """Return the expression of a text. Raises ValueError, whose message says what is wrong with it."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"has more than {MAX_CHARACTERS} characters")
    if text.strip().startswith("@"):
        if (named := NAMES.get(text.strip().lower())) is None:
            raise ValueError(f"is none of the names {', '.join(sorted(NAMES))}")
        text = named
    fields = text.upper().split()
    if len(fields) not in (5, 6):
        raise ValueError(
            f"has {len(fields)} fields; five are expected, from minute to day of week, or six with the second first"
        )
    _check_supported(fields)
    seconds, minutes = (fields[0], fields[1:]) if len(fields) == 6 else ("0", fields)  # noqa: PLR2004 - fields of cron
    five = " ".join(minutes)
    try:
        parsed = cast("set[int]", Field.SECOND.parse(seconds))
        CronSim(five, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(_reason(error)) from error
    return CronExpression(five, tuple(sorted(parsed)))


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime"}  # which is that of the machine


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone of IANA's database. Raises ValueError for another name."""
    if name not in _zone_names():
        raise ValueError("is no time zone of the IANA database, such as Europe/Berlin")
    return ZoneInfo(name)


def _check_supported(fields: list[str]) -> None:
    """Raise ValueError for what other programs know and cronsim does not, by its name."""
    days_of_month = fields[-3].split(",")
    if any("W" in day and day != "LW" for day in days_of_month):
        raise ValueError("W, the weekday nearest to a day of the month, is not supported; LW, the last weekday, is")
    for field in fields:
        if "?" in field:
            raise ValueError("? is not supported; write *")
        if field.startswith("H"):
            raise ValueError("H, which other programs replace by a random number, is not supported; jitter_seconds is")


def _reason(error: CronSimError) -> str:
    text = str(error).removeprefix("Bad ").replace("-", " ")
    if text not in _FIELDS:
        return "is no cron expression"
    return f"its {text} is not valid, or matches no day"
