"""The verdicts of `make soak`: each can fail, and behaviour without a leak passes."""

import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from soak.samples import ProcessSample, Sample, role_figures, sample_process, table_figures
from soak.verdicts import (
    exact,
    figures_are_bounded,
    growth,
    load_is_steady,
    memory_is_flat,
    number,
    slack,
    slopes,
    table,
)

EVERY_S, SECONDS = 5.0, 1200.0
AT = [n * EVERY_S for n in range(int(SECONDS / EVERY_S))]
Form = Callable[[float], float]  # of minutes


def process(role: str, pid: int, rss: float, **others: Any) -> ProcessSample:
    return ProcessSample(
        role,
        pid,
        **{"rss": rss, "pss": rss, "unique": rss, "swap": 0.0, "shared": 0.0, "threads": 2, "fds": 9, "tcp": 3}
        | others,
    )


def memory_samples(form: Form, role: str = "api", **others: Any) -> list[Sample]:
    chance = random.Random(1)
    return [Sample(at, [process(role, 7, 80 + form(at / 60) + chance.gauss(0, 0.1), **others)]) for at in AT]


def figure_samples(name: str, form: Form) -> list[Sample]:
    return [Sample(at, [], {name: form(at / 60)}) for at in AT]


def sentences(findings: Any) -> list[str]:
    return [finding.otherwise for finding in findings if finding.otherwise]


def test_growing_memory_is_reported_in_a_sentence() -> None:
    (sentence,) = sentences(memory_is_flat(memory_samples(lambda at: at)))
    assert sentence.startswith("api 7 grows by 6")
    assert "MiB an hour" in sentence


def _freed_then_grown(at: float) -> float:
    return 2.0 if at < 6 else 0.13 * (at - 6)  # freed by an allocator, and allocated again


@pytest.mark.parametrize(
    "form",
    [_freed_then_grown, lambda _: 0, lambda at: 9 * (at > 1), lambda at: min(20, 5 * at), lambda at: -at],
    ids=["freed", "noise", "step", "warm-up", "falls"],
)
def test_memory_that_does_not_grow_is_flat(form: Form) -> None:
    findings = list(memory_is_flat(memory_samples(form)))
    assert len(findings) == 1
    assert not sentences(findings)


def test_memory_that_was_freed_and_grows_beyond_earlier_values_is_reported() -> None:
    assert sentences(memory_is_flat(memory_samples(lambda at: 2 * _freed_then_grown(at) if at > 6 else 2.0)))


def test_memory_that_was_swapped_out_counts() -> None:
    assert sentences(memory_is_flat([Sample(at, [process("api", 7, 80 - at / 60, swap=2 * at / 60)]) for at in AT]))


def test_shared_memory_of_a_backend_does_not_count() -> None:
    assert not sentences(memory_is_flat(memory_samples(lambda at: at, "postgres jobproc-api", unique=4.0)))
    assert sentences(memory_is_flat(memory_samples(lambda at: at, "worker", unique=4.0)))


def test_a_replaced_process_is_a_new_series() -> None:
    """The new process is larger than the old one, which is no leak."""
    samples = [Sample(at, [process("worker process", 7 if at < 300 else 8, 60.0 if at < 300 else 90.0)]) for at in AT]
    assert [finding.name for finding in memory_is_flat(samples)] == ["memory worker process 8"]
    assert not sentences(memory_is_flat(samples))


def test_a_process_warms_up_from_its_own_start() -> None:
    def rss(at: float) -> float:
        return 80.0 if at < 300 else 60 + min(20, (at - 300) / 15)

    samples = [Sample(at, [process("worker process", 7 if at < 300 else 8, rss(at))]) for at in AT]
    assert slopes(samples)["worker process 8"].slope == 0


def test_short_lived_processes_are_not_judged_one_by_one() -> None:
    assert slopes([Sample(at, [process("crashing process", int(at / 60), 60 + at % 60)]) for at in AT]) == {}


def test_short_lived_processes_are_judged_as_a_role() -> None:
    """Each process starts a little larger than the previous one: their parent leaks."""

    def samples(form: Form) -> list[Sample]:
        return [
            Sample(
                at,
                [process("crashing process", int(at / 60), 60 + form(at / 60))],
                {"RSS MiB crashing process": 60 + form(at / 60)},
            )
            for at in AT
        ]

    (sentence,) = sentences(memory_is_flat(samples(lambda at: at)))
    assert sentence.startswith("of all crashing process grows by 60")
    assert not sentences(memory_is_flat(samples(lambda at: at % 1)))


def test_a_role_is_judged_once() -> None:
    samples = [Sample(at, [process("api", 7, 80.0)], {"RSS MiB api": 80.0}) for at in AT]
    assert [finding.name for finding in memory_is_flat(samples)] == ["memory api 7"]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("connections jobproc-api", lambda at: 4 + at),
        ("threads api", lambda at: 3 + at),
        ("fds worker", lambda at: 25 + at),
        ("RSS MiB crashing process", lambda at: 140 + 3 * at),
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
def test_a_rising_figure_is_not_bounded(name: str, form: Form) -> None:
    (sentence,) = sentences(figures_are_bounded(figure_samples(name, form)))
    assert sentence.startswith(f"{name} rose to ")


@pytest.mark.parametrize(
    "form",
    [lambda _: 100, lambda at: 100 * (at > 2), lambda at: 100 - at, lambda at: at % 5],
    ids=["same", "step", "falls", "saw"],
)
def test_a_figure_that_rose_early_is_bounded(form: Form) -> None:
    assert not sentences(figures_are_bounded(figure_samples("series api", form)))


def test_a_figure_that_appears_late_is_judged() -> None:
    late = [Sample(at, [], {"doorbells new": 50.0} if at > 1000 else {}) for at in AT]
    assert sentences(figures_are_bounded(late))


def test_the_longest_prefix_decides_the_slack_of_a_figure() -> None:
    assert slack("tcp api") == 20
    assert slack("tcp worker") == 3
    assert slack("load average") is None
    assert slack("jobs rows") is None


def windows(p99: Form) -> list[dict[str, Any]]:
    return [
        {"at_s": at, "ms": {name: {"p50": 5.0, "p99": p99(at / 60)} for name in ("submit", "batch", "read")}}
        for at in AT
    ]


def test_a_load_that_is_served_as_fast_as_at_first_is_steady() -> None:
    assert not sentences(load_is_steady(windows(lambda _: 20), figure_samples("outcomes rows", lambda at: 12_000 * at)))


def test_jobs_that_end_more_slowly_are_reported() -> None:
    assert any(
        "jobs a second ended" in sentence
        for sentence in sentences(
            load_is_steady(windows(lambda _: 20), figure_samples("outcomes rows", lambda at: 900 * at**0.5))
        )
    )


def test_responses_that_take_longer_are_reported() -> None:
    reported = sentences(
        load_is_steady(windows(lambda at: 20 + 5 * at), figure_samples("outcomes rows", lambda at: 12_000 * at))
    )
    assert [sentence.partition(" went")[0] for sentence in reported] == ["p99 of submit", "p99 of batch", "p99 of read"]


def test_one_slow_window_is_not_reported() -> None:
    assert not sentences(
        load_is_steady(
            windows(lambda at: 900 if 18 < at < 18.2 else 20), figure_samples("outcomes rows", lambda at: 12_000 * at)
        )
    )


def test_a_short_run_has_no_findings_about_growth() -> None:
    assert growth(memory_samples(lambda at: at)[:50], windows(lambda _: 20)[:50]) == []


def test_a_count_is_exact() -> None:
    assert exact("jobs", 3, 3, "no").otherwise == ""
    assert exact("jobs", 3, 2, "one is lost").otherwise == "one is lost"


def test_the_table_shows_each_rule_and_its_failures() -> None:
    text = table(
        [*memory_is_flat(memory_samples(lambda at: at)), exact("jobs", 3, 2, "one is lost"), exact("calls", 0, 0, "")]
    )
    assert "| memory api 7 |" in text
    assert "| jobs | 3 | 2 | NO |" in text
    assert "| calls | 0 | 0 | ok |" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(240_120.0, "240,120"), (0.0, "0"), (2.0, "2"), (1.25, "1.25"), (86.4512, "86.45"), (-0.02385, "-0.02385")],
)
def test_a_number_has_four_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_current_partitions_are_measured_by_row_and_past_ones_are_summed() -> None:
    figures = table_figures(
        [
            ("jobs_20261126", 1000, 500, 10, 0),
            ("jobs_20261127", 0, 500, 0, 0),
            ("jobs_20261101", 2**20, 2**20, 5, 0),
            ("live", 2**21, 2**20, 99, 7),
        ],
        "20261125",
    )
    assert figures["jobs table bytes a row"] == 100
    assert figures["jobs index bytes a row"] == 100
    assert figures["past MiB"] == 2
    assert figures["past partitions"] == 1
    assert figures["live table MiB"] == 2
    assert figures["live dead rows"] == 7
    assert figures["outcomes rows"] == 0
    assert "outcomes table bytes a row" not in figures


def test_missing_partitions_count_as_zero() -> None:
    assert table_figures([("live", 0, 8192, 0, 0)], "20261125") == {
        "past MiB": 0.0,
        "past partitions": 0.0,
        "live table MiB": 0.0,
        "live index MiB": 8192 / 2**20,
        "live dead rows": 0,
        "jobs rows": 0,
        "outcomes rows": 0,
        "attempts rows": 0,
        "job_logs rows": 0,
        "tags rows": 0,
    }


def test_a_sample_is_read_as_it_was_written() -> None:
    (sample, *_) = memory_samples(lambda _: 0)
    assert Sample.from_json(json.loads(json.dumps(sample.to_json()))) == sample


def test_a_running_process_is_sampled_and_an_ended_one_is_not() -> None:
    sample = sample_process("test", os.getpid(), {"no such socket"})
    assert sample is not None
    assert sample.rss >= sample.pss > 0
    assert sample.unique > 0
    assert sample.fds > 2
    assert sample.tcp == 0
    assert sample_process("test", 2**22 + 1) is None


def test_the_figures_of_a_role_are_sums_of_its_processes() -> None:
    figures = role_figures(
        [process("api", 7, 80.0), process("worker process", 8, 60.0, swap=1.0), process("worker process", 9, 70.0)]
    )
    assert figures["RSS MiB worker process"] == 131
    assert figures["threads api"] == 2
    assert figures["fds worker process"] == 18
