"""The verdicts of `make soak`: each can fail, and what is no leak passes."""

import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from soak.samples import Look, Sample, process, sums, tables
from soak.verdicts import exact, figures_are_bounded, growth, load_is_steady, memory_is_flat, number, slack, slopes, table

EVERY_S, SECONDS = 5.0, 1200.0
AT = [n * EVERY_S for n in range(int(SECONDS / EVERY_S))]
Form = Callable[[float], float]  # of minutes


def look(role: str, pid: int, rss: float, **others: Any) -> Look:
    return Look(role, pid, **{"rss": rss, "pss": rss, "unique": rss, "swap": 0.0, "shared": 0.0, "threads": 2, "fds": 9, "tcp": 3} | others)


def of_memory(form: Form, role: str = "api", **others: Any) -> list[Sample]:
    chance = random.Random(1)
    return [Sample(at, [look(role, 7, 80 + form(at / 60) + chance.gauss(0, 0.1), **others)]) for at in AT]


def of_figure(name: str, form: Form) -> list[Sample]:
    return [Sample(at, [], {name: form(at / 60)}) for at in AT]


def sentences(findings: Any) -> list[str]:
    return [one.otherwise for one in findings if one.otherwise]


def test_memory_that_grows_is_said_in_a_sentence() -> None:
    (said,) = sentences(memory_is_flat(of_memory(lambda at: at)))
    assert said.startswith("api 7 grows by 6")
    assert "MiB an hour" in said


def _given_back(at: float) -> float:
    return 2.0 if at < 6 else 0.13 * (at - 6)  # by an allocator, for a while


@pytest.mark.parametrize(
    "form",
    [_given_back, lambda _: 0, lambda at: 9 * (at > 1), lambda at: min(20, 5 * at), lambda at: -at],
    ids=["given back", "noise", "step", "warm-up", "falls"],
)
def test_memory_that_does_not_grow_is_flat(form: Form) -> None:
    findings = list(memory_is_flat(of_memory(form)))
    assert len(findings) == 1
    assert not sentences(findings)


def test_memory_that_was_given_back_and_grows_beyond_is_said() -> None:
    assert sentences(memory_is_flat(of_memory(lambda at: 2 * _given_back(at) if at > 6 else 2.0)))


def test_memory_that_was_swapped_out_counts() -> None:
    assert sentences(memory_is_flat([Sample(at, [look("api", 7, 80 - at / 60, swap=2 * at / 60)]) for at in AT]))


def test_of_a_backend_what_it_shares_does_not_count() -> None:
    assert not sentences(memory_is_flat(of_memory(lambda at: at, "postgres jobproc-api", unique=4.0)))
    assert sentences(memory_is_flat(of_memory(lambda at: at, "worker", unique=4.0)))


def test_a_replaced_process_is_a_new_series() -> None:
    """The new one is larger than the old one, and not a leak."""
    samples = [Sample(at, [look("worker process", 7 if at < 300 else 8, 60.0 if at < 300 else 90.0)]) for at in AT]
    assert [one.name for one in memory_is_flat(samples)] == ["memory worker process 8"]
    assert not sentences(memory_is_flat(samples))


def test_a_process_warms_up_from_its_own_start() -> None:
    def rss(at: float) -> float:
        return 80.0 if at < 300 else 60 + min(20, (at - 300) / 15)

    samples = [Sample(at, [look("worker process", 7 if at < 300 else 8, rss(at))]) for at in AT]
    assert slopes(samples)["worker process 8"].slope == 0


def test_processes_that_live_for_a_moment_are_not_judged_one_by_one() -> None:
    assert slopes([Sample(at, [look("mortal process", int(at / 60), 60 + at % 60)]) for at in AT]) == {}


def test_processes_that_live_for_a_moment_are_judged_together() -> None:
    """Each begins a little larger than the one before: the leak is their parent's."""

    def samples(form: Form) -> list[Sample]:
        return [Sample(at, [look("mortal process", int(at / 60), 60 + form(at / 60))], {"RSS MiB mortal process": 60 + form(at / 60)}) for at in AT]

    (said,) = sentences(memory_is_flat(samples(lambda at: at)))
    assert said.startswith("of all mortal process grows by 60")
    assert not sentences(memory_is_flat(samples(lambda at: at % 1)))


def test_a_role_is_judged_once() -> None:
    samples = [Sample(at, [look("api", 7, 80.0)], {"RSS MiB api": 80.0}) for at in AT]
    assert [one.name for one in memory_is_flat(samples)] == ["memory api 7"]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("connections jobproc-api", lambda at: 4 + at),
        ("threads api", lambda at: 3 + at),
        ("fds worker", lambda at: 25 + at),
        ("RSS MiB mortal process", lambda at: 140 + 3 * at),
        ("shared MiB worker", lambda at: 0.1 + at / 10),
        ("series controller", lambda at: 54 + 3 * at),
        ("doorbells default", lambda at: at),
        ("redis keys", lambda at: at),
        ("live table MiB", lambda at: at),
        ("live rows", lambda at: 100 * at),
        ("past partitions", lambda at: 3 * at),
        ("past MiB", lambda at: 3 * at),
        ("jobs table bytes a row", lambda at: 250 + 10 * at),
        ("workers bytes a process", lambda at: 8000 + 200 * at),
        ("catalogue MiB", lambda at: 8 + at),
    ],
)
def test_what_rises_is_not_bounded(name: str, form: Form) -> None:
    (said,) = sentences(figures_are_bounded(of_figure(name, form)))
    assert said.startswith(f"{name} rose to ")


@pytest.mark.parametrize("form", [lambda _: 100, lambda at: 100 * (at > 2), lambda at: 100 - at, lambda at: at % 5], ids=["same", "step", "falls", "saw"])
def test_what_rose_early_is_bounded(form: Form) -> None:
    assert not sentences(figures_are_bounded(of_figure("series api", form)))


def test_a_figure_that_comes_late_is_judged() -> None:
    late = [Sample(at, [], {"doorbells new": 50.0} if at > 1000 else {}) for at in AT]
    assert sentences(figures_are_bounded(late))


def test_the_longest_name_says_what_a_figure_may_rise() -> None:
    assert slack("tcp api") == 20
    assert slack("tcp worker") == 3
    assert slack("load average") is None
    assert slack("jobs rows") is None


def windows(p99: Form) -> list[dict[str, Any]]:
    return [{"at_s": at, "ms": {name: {"p50": 5.0, "p99": p99(at / 60)} for name in ("submit", "batch", "read")}} for at in AT]


def test_a_load_that_is_served_as_at_first_is_steady() -> None:
    assert not sentences(load_is_steady(windows(lambda _: 20), of_figure("outcomes rows", lambda at: 12_000 * at)))


def test_jobs_that_end_more_slowly_are_found() -> None:
    assert any("jobs a second ended" in said for said in sentences(load_is_steady(windows(lambda _: 20), of_figure("outcomes rows", lambda at: 900 * at**0.5))))


def test_answers_that_take_longer_are_found() -> None:
    said = sentences(load_is_steady(windows(lambda at: 20 + 5 * at), of_figure("outcomes rows", lambda at: 12_000 * at)))
    assert [one.partition(" went")[0] for one in said] == ["p99 of submit", "p99 of batch", "p99 of read"]


def test_one_slow_window_is_not_slow() -> None:
    assert not sentences(load_is_steady(windows(lambda at: 900 if 18 < at < 18.2 else 20), of_figure("outcomes rows", lambda at: 12_000 * at)))


def test_a_short_run_says_nothing_of_growth() -> None:
    assert growth(of_memory(lambda at: at)[:50], windows(lambda _: 20)[:50]) == []


def test_a_count_is_exact() -> None:
    assert exact("jobs", 3, 3, "no").otherwise == ""
    assert exact("jobs", 3, 2, "one is lost").otherwise == "one is lost"


def test_the_table_shows_each_rule_and_what_does_not_hold() -> None:
    text = table([*memory_is_flat(of_memory(lambda at: at)), exact("jobs", 3, 2, "one is lost"), exact("calls", 0, 0, "")])
    assert "| memory api 7 |" in text
    assert "| jobs | 3 | 2 | NO |" in text
    assert "| calls | 0 | 0 | ok |" in text


@pytest.mark.parametrize(("value", "text"), [(240_120.0, "240,120"), (0.0, "0"), (2.0, "2"), (1.25, "1.25"), (86.4512, "86.45"), (-0.02385, "-0.02385")])
def test_a_number_is_read_easily(value: float, text: str) -> None:
    assert number(value) == text


def test_tables_are_by_row_where_they_only_grow_and_summed_where_they_are_past() -> None:
    found = tables(
        [("jobs_20261126", 1000, 500, 10, 0), ("jobs_20261127", 0, 500, 0, 0), ("jobs_20261101", 2**20, 2**20, 5, 0), ("live", 2**21, 2**20, 99, 7)],
        "20261125",
    )
    assert found["jobs table bytes a row"] == 100
    assert found["jobs index bytes a row"] == 100
    assert found["past MiB"] == 2
    assert found["past partitions"] == 1
    assert found["live table MiB"] == 2
    assert found["live dead rows"] == 7
    assert found["outcomes rows"] == 0
    assert "outcomes table bytes a row" not in found


def test_what_is_not_there_counts_as_nothing() -> None:
    assert tables([("live", 0, 8192, 0, 0)], "20261125") == {
        "past MiB": 0.0,
        "past partitions": 0.0,
        "live table MiB": 0.0,
        "live index MiB": 8192 / 2**20,
        "live dead rows": 0,
        "jobs rows": 0,
        "outcomes rows": 0,
        "attempts rows": 0,
        "tags rows": 0,
    }


def test_a_sample_is_read_as_it_was_written() -> None:
    (sample, *_) = of_memory(lambda _: 0)
    assert Sample.of(json.loads(json.dumps(sample.written()))) == sample


def test_a_process_is_looked_at_and_one_that_has_ended_is_not() -> None:
    found = process("test", os.getpid(), {"no such socket"})
    assert found is not None
    assert found.rss >= found.pss > 0
    assert found.unique > 0
    assert found.fds > 2
    assert found.tcp == 0
    assert process("test", 2**22 + 1) is None


def test_a_role_has_what_its_processes_have_together() -> None:
    found = sums([look("api", 7, 80.0), look("worker process", 8, 60.0, swap=1.0), look("worker process", 9, 70.0)])
    assert found["RSS MiB worker process"] == 131
    assert found["threads api"] == 2
    assert found["fds worker process"] == 18
