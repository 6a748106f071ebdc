"""A limit of log lines: a line now and then, which says for how many occurrences it stands."""

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
