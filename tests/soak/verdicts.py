"""The verdicts of a soak test, from its samples. A finding has the measured values, and a sentence if it fails."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from soak.samples import ProcessSample, Sample
from soak.trends import Trend, thirds, trend

WARM_UP = 0.25  # of the run, and of the life of each process: not judged
JUDGED_S = 300.0  # growth is judged only in a run of this length or more
FACTOR = 1.05  # of the last third's maximum to the second's
MIN_RATE = 0.95  # of the last third's to the first's
MAX_P99 = 2.0
P99_SLACK_MS = 5.0
ALL = "RSS MiB "  # the prefix of figures that are the memory of all processes of a role
FORGET_INTERVAL_S = 600.0  # of the controller, for rows of ended worker processes

#: The allowed rise of a figure, beside the factor, by the beginning of its name. The longest match counts.
SLACK: dict[str, float] = {
    "connections ": 2,
    "threads ": 2,  # a scrape takes a thread
    "fds ": 3,  # and a file descriptor
    "tcp ": 3,
    "tcp api": 20,  # clients open another connection while they wait
    "fds api": 20,
    "RSS MiB ": 2,
    "shared MiB ": 0.25,
    "series ": 4,
    "metrics KiB ": 2,
    "doorbells ": 2,
    "redis keys": 2,
    "redis clients": 2,
    "redis memory MiB": 0.5,
    "postgres PSS MiB": 5,
    "catalogue MiB": 1,
    "live ": 1,  # MiB
    "live rows": 500,
    "live dead rows": 20_000,  # as many as arise between two runs of autovacuum
    "workers bytes a process": 100,
    "workers dead rows": 1_000,
    "workers rows": FORGET_INTERVAL_S * 0.2 * 1.5,  # two or three processes crash each ten seconds
    "past MiB": 5,  # a day that waits for the next retention check
    "past partitions": 6,
    "operations ": 0.1,
    "leaders ": 0.1,
    "jobs ": 10,  # bytes a row
    "outcomes ": 10,
    "attempts ": 10,
}
NOT_JUDGED = (
    "load average",
    "jobs rows",
    "outcomes rows",
    "attempts rows",
    "workers registered",
    "operations dead rows",
    "leaders dead rows",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One judged fact with its measured values. `otherwise`: why it does not hold, empty if it does."""

    name: str
    rule: str
    measured: Mapping[str, float]
    otherwise: str = ""


def memory(process: ProcessSample) -> float:
    """Return the judged memory: of PostgreSQL's backends the unique part, as all of them touch the shared buffers."""
    return (process.unique if process.role.startswith("postgres") else process.rss) + process.swap


def series(samples: Sequence[Sample]) -> dict[str, tuple[list[float], list[ProcessSample]]]:
    """Return the times and the samples of each process."""
    by_process: dict[str, tuple[list[float], list[ProcessSample]]] = defaultdict(lambda: ([], []))
    for sample in samples:
        for process in sample.processes:
            times, processes = by_process[process.key]
            times.append(sample.at_s)
            processes.append(process)
    return by_process


def first_judged(times_s: Sequence[float], run_s: float) -> int:
    """Return the index of the first sample after the warm-up of a process."""
    return next((n for n, at in enumerate(times_s) if at - times_s[0] >= WARM_UP * run_s), len(times_s))


def slopes(samples: Sequence[Sample], measure: Callable[[ProcessSample], float] = memory) -> dict[str, Trend]:
    """Return the trend of each process that lived for at least half of the run."""
    run_s = samples[-1].at_s - samples[0].at_s
    trends = {}
    for key, (times, processes) in series(samples).items():
        first = first_judged(times, run_s)
        values = [measure(process) for process in processes]
        fit = trend(times[first:], values[first:], values[:first]) if times[-1] - times[0] >= run_s / 2 else None
        if fit is not None:
            trends[key] = fit
    return trends


def summed(samples: Sequence[Sample], roles: set[str]) -> dict[str, Trend]:
    """Return the trend of the memory of each role but `roles`: of those whose processes are soon replaced."""
    first = first_judged([sample.at_s for sample in samples], samples[-1].at_s - samples[0].at_s)
    names = {name for sample in samples for name in sample.figures if name.startswith(ALL)} - {
        ALL + role for role in roles
    }
    trends = {}
    for name in sorted(names):
        before, known = (
            [(sample.at_s, sample.figures[name]) for sample in part if name in sample.figures]
            for part in (samples[:first], samples[first:])
        )
        if fit := trend([at for at, _ in known], [value for _, value in known], [value for _, value in before]):
            trends[f"of all {name.removeprefix(ALL)}"] = fit
    return trends


def memory_is_flat(samples: Sequence[Sample]) -> Iterator[Finding]:
    """The memory of each process does not grow. Processes that are soon replaced are judged as a role."""
    single = slopes(samples)
    for key, fit in {**single, **summed(samples, {key.rpartition(" ")[0] for key in single})}.items():
        measured = {name: getattr(fit, name) for name in ("mean", "slope", "low", "high", "percent")}
        otherwise = (
            f"{key} grows by {fit.slope:.2f} MiB an hour"
            f" ({fit.low:.2f} to {fit.high:.2f}, {fit.percent:.1f} % of its mean)"
            if fit.grows
            else ""
        )
        yield Finding(f"memory {key}", "flat", measured, otherwise)


def slack(name: str) -> float | None:
    """Return the allowed rise of a figure beside the factor, None if it is not judged."""
    prefixes = [prefix for prefix in SLACK if name.startswith(prefix)]
    return SLACK[max(prefixes, key=len)] if prefixes and name not in NOT_JUDGED else None


def figures_are_bounded(samples: Sequence[Sample]) -> Iterator[Finding]:
    """No figure is higher in the last third of the run than in the second."""
    for name in dict.fromkeys(name for sample in samples for name in sample.figures):
        allowed = slack(name)
        if allowed is None:
            continue
        _, second, last = thirds(
            [sample.at_s for sample in samples], [sample.figures.get(name, 0.0) for sample in samples]
        )
        limit = max(second) * FACTOR + allowed
        otherwise = (
            ""
            if max(last) <= limit
            else f"{name} rose to {number(max(last))} in the last third, from {number(max(second))} in the second"
        )
        yield Finding(name, "bounded", {"second": max(second), "last": max(last)}, otherwise)


def load_is_steady(windows: Sequence[Mapping[str, Any]], samples: Sequence[Sample]) -> Iterator[Finding]:
    """Jobs end as fast in the last third as in the first, and responses take no longer."""
    at = [sample.at_s for sample in samples]
    first, _, last = thirds(at, [float(n) for n in range(len(at))])

    def rate(third: list[float]) -> float:
        begin, end = samples[int(third[0])], samples[int(third[-1])]
        return (end.figures.get("outcomes rows", 0) - begin.figures.get("outcomes rows", 0)) / max(
            1e-9, end.at_s - begin.at_s
        )

    before, after = rate(first), rate(last)
    otherwise = (
        ""
        if after >= before * MIN_RATE
        else f"{after:.0f} jobs a second ended in the last third, {before:.0f} in the first"
    )
    yield Finding("jobs ended a second", "not slower", {"first": before, "last": after}, otherwise)
    for name in ("submit", "batch", "read"):
        for percentile in ("p50", "p99"):
            known = [window for window in windows if name in window["ms"]]
            early, _, late = thirds(
                [window["at_s"] for window in known], [window["ms"][name][percentile] for window in known]
            )
            begin, end = median(early), median(late)
            otherwise = (
                ""
                if end <= begin * MAX_P99 + P99_SLACK_MS
                else f"{percentile} of {name} went from {begin:.1f} to {end:.1f} ms"
            )
            yield Finding(f"{name} {percentile} ms", "not slower", {"first": begin, "last": end}, otherwise)


def exact(name: str, expected: float, counted: float, otherwise: str) -> Finding:
    """Return the finding that a count is exact."""
    return Finding(name, "exact", {"expected": expected, "counted": counted}, "" if expected == counted else otherwise)


def growth(samples: Sequence[Sample], windows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return the findings about growth, none if the run was too short."""
    if not samples or samples[-1].at_s - samples[0].at_s < JUDGED_S:
        return []
    return [*memory_is_flat(samples), *figures_are_bounded(samples), *load_is_steady(windows, samples)]


def number(value: float) -> str:
    """Return a number as text: four significant digits at most, counts as integers."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def table(findings: Sequence[Finding]) -> str:
    """Return the findings as a Markdown table for each rule."""
    rows = []
    for rule in dict.fromkeys(finding.rule for finding in findings):
        judged = [finding for finding in findings if finding.rule == rule]
        columns = list(dict.fromkeys(name for finding in judged for name in finding.measured))
        rows += ["", f"| {rule} | {' | '.join(columns)} | |", "|---|" + "---|" * (len(columns) + 1)]
        for finding in judged:
            values = " | ".join(number(finding.measured[name]) for name in columns)
            rows.append(f"| {finding.name} | {values} | {'NO' if finding.otherwise else 'ok'} |")
    return "\n".join(rows)
