"""Low-water marks, and the arguments of a settle. Tests of the statements need a server (tests/integration/store)."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.job import PRIORITIES, ClaimedJob
from common.store.workers.low_water_marks import NIL_UUID, LowWaterMarks
from common.store.workers.results import Results

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SLACK_MS = 500
FLOOR = "2026-01-01 00:00:00+00"


def timestamp(ms: int) -> str:
    """Return a time as PostgreSQL formats it: without a fraction of 0, without trailing zeros."""
    at = BEGAN + timedelta(milliseconds=ms)
    fraction = f".{at.microsecond:06}".rstrip("0") if at.microsecond else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{fraction}+00"


def test_new_marks_lie_below_every_job() -> None:
    marks = LowWaterMarks()
    assert list(marks.claimable_at) == list(marks.id) == list(PRIORITIES)
    assert set(marks.claimable_at.values()) == {"-infinity"}
    assert set(marks.id.values()) == {NIL_UUID}


def test_a_short_claim_moves_every_mark_to_the_floor() -> None:
    marks = LowWaterMarks()
    marks.advance(3, [(5, timestamp(-900), "a"), (2, timestamp(-800), "b")], FLOOR)
    assert set(marks.claimable_at.values()) == {FLOOR}
    assert set(marks.id.values()) == {NIL_UUID}


def test_a_full_claim_moves_the_marks_up_to_its_last_row_and_no_further() -> None:
    marks = LowWaterMarks()
    marks.advance(3, [(5, timestamp(-800), "c"), (2, timestamp(-700), "a"), (5, timestamp(-900), "b")], FLOOR)
    assert [marks.claimable_at[priority] for priority in PRIORITIES] == [FLOOR] * 5 + [timestamp(-800)] + [
        "-infinity"
    ] * 4
    assert marks.id[5] == "c"
    assert {marks.id[priority] for priority in PRIORITIES if priority != 5} == {NIL_UUID}


def test_no_mark_passes_the_floor_even_where_the_last_row_is_younger() -> None:
    marks = LowWaterMarks()
    marks.advance(1, [(0, timestamp(400), "a")], FLOOR)
    assert (marks.claimable_at[0], marks.id[0]) == (FLOOR, NIL_UUID)


@given(st.integers(-(10**9), 10**12), st.integers(-(10**9), 10**12))
@settings(deadline=None, max_examples=200)
def test_times_in_the_format_of_postgresql_sort_as_texts(first_ms: int, second_ms: int) -> None:
    """Marks are compared as texts, also with -infinity."""
    assert (timestamp(first_ms) < timestamp(second_ms)) == (first_ms < second_ms)
    assert timestamp(first_ms) > "-infinity"


@dataclass
class Table:
    """Waiting rows as the claim reads them: (priority, claimable_at in ms, id)."""

    waiting: set[tuple[int, int, str]] = field(default_factory=set)
    inserted: int = 0

    def insert(self, priority: int, at_ms: int) -> None:
        self.inserted += 1
        self.waiting.add((priority, at_ms, f"{self.inserted * 7919 % 100_000:05}"))

    def claim(self, marks: LowWaterMarks | None, now_ms: int, limit: int) -> list[tuple[int, str, str]]:
        """Return the first rows that are due and above the marks, priority by priority."""
        rows = [(p, timestamp(at), i) for p, at, i in sorted(self.waiting) if at <= now_ms]
        return [(p, at, i) for p, at, i in rows if marks is None or (at, i) > (marks.claimable_at[p], marks.id[p])][
            :limit
        ]


steps = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.lists(st.tuples(st.sampled_from(PRIORITIES), st.integers(0, SLACK_MS - 1))),
        st.integers(1, 5),
    ),
    max_size=40,
)


@given(steps)
@settings(deadline=None, max_examples=60)
def test_a_claim_from_the_marks_takes_the_same_jobs_as_a_claim_without_marks(
    history: list[tuple[int, list[tuple[int, int]], int]],
) -> None:
    """Jobs become visible up to the slack after their claimable_at. None is skipped, and the order is kept."""
    table, marks, now_ms = Table(), LowWaterMarks(), 10_000
    for wait_ms, inserted, limit in history:
        now_ms += wait_ms
        for priority, late_ms in inserted:
            table.insert(priority, now_ms - late_ms)
        claimed = table.claim(marks, now_ms, limit)
        assert claimed == table.claim(None, now_ms, limit)
        marks.advance(limit, claimed[::-1], timestamp(now_ms - SLACK_MS))
        table.waiting -= {row for row in table.waiting if (row[0], timestamp(row[1]), row[2]) in claimed}


@given(steps)
@settings(deadline=None, max_examples=60)
def test_marks_never_move_back_while_the_clock_does_not(history: list[tuple[int, list[tuple[int, int]], int]]) -> None:
    table, marks, now_ms = Table(), LowWaterMarks(), 10_000
    for wait_ms, inserted, limit in history:
        now_ms += wait_ms
        for priority, late_ms in inserted:
            table.insert(priority, now_ms - late_ms)
        before = {p: (marks.claimable_at[p], marks.id[p]) for p in PRIORITIES}
        marks.advance(limit, table.claim(marks, now_ms, limit), timestamp(now_ms - SLACK_MS))
        assert all((marks.claimable_at[p], marks.id[p]) >= before[p] for p in PRIORITIES)


def test_results_become_arguments_of_equal_length() -> None:
    results = Results()
    results.add(ClaimedJob("0190", 1, 0, 3, "noop", "{}", None), "14.0", 0.25)
    results.add(ClaimedJob("0191", 2, 1, 3, "noop", "{}", None), '{"a":[null,"x, \\"y\\"}"]}', 0.0000019)
    assert results.arguments() == (
        "{0190,0191}",
        "{1,2}",
        '[14.0,{"a":[null,"x, \\"y\\"}"]}]',
        "{250000,1}",
        None,
        None,
    )


def test_no_results_become_empty_arguments() -> None:
    assert Results().arguments() == ("{}", "{}", "[]", "{}", None, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.lists(json_values, max_size=8))
@settings(deadline=None, max_examples=60)
def test_each_json_value_is_one_element_of_the_results(values: list[object]) -> None:
    results = Results()
    for number, value in enumerate(values):
        results.add(ClaimedJob(f"id-{number}", 1, 0, 3, "noop", "{}", None), json.dumps(value), 0.0)
    assert json.loads(results.arguments()[2]) == values
