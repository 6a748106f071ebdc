"""A limit of log lines: a line now and then, which says for how many occurrences it stands."""

import sys
from concurrent.futures import ThreadPoolExecutor

from common.telemetry.log_limit import LogLimit


def test_a_line_is_due_once_in_an_interval_and_counts_what_came_since_the_last_one() -> None:
    now_s = 100.0
    limit = LogLimit(interval_s=1.0, clock=lambda: now_s)
    assert [limit.due() for _ in range(3)] == [1, 0, 0]
    now_s += 0.9
    assert limit.due() == 0
    now_s += 0.1
    assert [limit.due(), limit.due()] == [4, 0]
    now_s += 60
    assert [limit.due(), limit.due()] == [2, 0]


def test_several_lines_are_due_in_an_interval_if_they_are_allowed() -> None:
    now_s = 100.0
    limit = LogLimit(interval_s=1.0, clock=lambda: now_s, lines=2)
    assert [limit.due() for _ in range(4)] == [1, 1, 0, 0]
    now_s += 1
    assert [limit.due() for _ in range(3)] == [3, 1, 0]


def test_what_no_line_stands_for_is_told_once_in_the_next_interval() -> None:
    now_s = 100.0
    limit = LogLimit(interval_s=1.0, clock=lambda: now_s)
    assert limit.overdue() == 0
    assert [limit.due() for _ in range(3)] == [1, 0, 0]
    assert limit.overdue() == 0
    now_s += 1
    assert [limit.overdue(), limit.overdue()] == [2, 0]
    assert limit.due() == 1


def test_what_no_line_stands_for_may_be_taken_at_any_time() -> None:
    limit = LogLimit(clock=lambda: 100.0)
    assert [limit.due() for _ in range(3)] == [1, 0, 0]
    assert [limit.take_unlogged(), limit.take_unlogged(), limit.overdue()] == [2, 0, 0]


def test_no_thread_takes_the_line_of_another() -> None:
    limit, interval_s = LogLimit(clock=lambda: 100.0, lines=40_000), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            counts = list(threads.map(lambda _: [limit.due() for _ in range(10_000)], range(4)))
    finally:
        sys.setswitchinterval(interval_s)
    assert {count for of_thread in counts for count in of_thread} == {1}
