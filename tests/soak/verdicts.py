"""What must hold of a soak, from its samples. Each finding says what was measured, and why it does not hold where it does not."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from soak.samples import Look, Sample
from soak.trends import Trend, thirds, trend

WARM_UP = 0.25  # of the run, and of the life of each process: not judged
JUDGED_S = 300.0  # a shorter run says nothing about growth
FACTOR = 1.05  # of the last third's maximum to the second's
LEAST_RATE = 0.95  # of the last third's to the first's
MOST_P99 = 2.0
P99_SLACK_MS = 5.0
ALL = "RSS MiB "  # begins the name of a figure: the memory of a role's processes together
FORGOTTEN_S = 600.0  # the controller forgets worker processes this often

#: By how a figure's name begins: what it may rise beside the factor. The longest that fits counts.
SLACK: dict[str, float] = {
    "connections ": 2,
    "threads ": 2,  # a scrape is a thread
    "fds ": 3,  # and a file
    "tcp ": 3,
    "tcp api": 20,  # clients open a further connection when they wait
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
    "live dead rows": 20_000,  # as many as are made between two looks of autovacuum
    "workers bytes a process": 100,
    "workers dead rows": 1_000,
    "workers rows": FORGOTTEN_S * 0.2 * 1.5,  # two or three die each ten seconds
    "past MiB": 5,  # a day that waits for the next look of retention
    "past partitions": 6,
    "operations ": 0.1,
    "leaders ": 0.1,
    "jobs ": 10,  # bytes a row
    "outcomes ": 10,
    "attempts ": 10,
}
NOT_JUDGED = ("load average", "jobs rows", "outcomes rows", "attempts rows", "workers registered", "operations dead rows", "leaders dead rows")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was judged, with what was measured; `otherwise`: why it does not hold, empty where it does."""

    name: str
    rule: str
    measured: Mapping[str, float]
    otherwise: str = ""


def memory(look: Look) -> float:
    """Return the memory that is judged: of PostgreSQL's backends what is theirs alone, as they all touch the same shared buffers."""
    return (look.unique if look.role.startswith("postgres") else look.rss) + look.swap


def series(samples: Sequence[Sample]) -> dict[str, tuple[list[float], list[Look]]]:
    """Return the times and looks of each process."""
    found: dict[str, tuple[list[float], list[Look]]] = defaultdict(lambda: ([], []))
    for sample in samples:
        for look in sample.looks:
            times, looks = found[look.key]
            times.append(sample.at_s)
            looks.append(look)
    return found


def judged(times_s: Sequence[float], run_s: float) -> int:
    """Return the index of the first sample after the warm-up of a process."""
    return next((n for n, at in enumerate(times_s) if at - times_s[0] >= WARM_UP * run_s), len(times_s))


def slopes(samples: Sequence[Sample], of: Callable[[Look], float] = memory) -> dict[str, Trend]:
    """Return the trend of each process that lived for half the run or more."""
    run_s = samples[-1].at_s - samples[0].at_s
    found = {}
    for key, (times, looks) in series(samples).items():
        first = judged(times, run_s)
        values = [of(look) for look in looks]
        if times[-1] - times[0] >= run_s / 2 and (one := trend(times[first:], values[first:], values[:first])):
            found[key] = one
    return found


def summed(samples: Sequence[Sample], roles: set[str]) -> dict[str, Trend]:
    """Return the trend of the memory of all processes together of each role that is not among these: those whose processes are soon replaced."""
    first = judged([sample.at_s for sample in samples], samples[-1].at_s - samples[0].at_s)
    names = {name for sample in samples for name in sample.figures if name.startswith(ALL)} - {ALL + role for role in roles}
    found = {}
    for name in sorted(names):
        before, known = ([(sample.at_s, sample.figures[name]) for sample in part if name in sample.figures] for part in (samples[:first], samples[first:]))
        if one := trend([at for at, _ in known], [value for _, value in known], [value for _, value in before]):
            found[f"of all {name.removeprefix(ALL)}"] = one
    return found


def memory_is_flat(samples: Sequence[Sample]) -> Iterator[Finding]:
    """Each process has memory that does not grow; where they are soon replaced, all of a role together."""
    single = slopes(samples)
    for key, one in {**single, **summed(samples, {key.rpartition(" ")[0] for key in single})}.items():
        measured = {"mean": one.mean, "slope": one.slope, "low": one.low, "high": one.high, "percent": one.percent}
        otherwise = f"{key} grows by {one.slope:.2f} MiB an hour ({one.low:.2f} to {one.high:.2f}, {one.percent:.1f} % of its mean)" if one.grows else ""
        yield Finding(f"memory {key}", "flat", measured, otherwise)


def slack(name: str) -> float | None:
    """Return what a figure may rise beside the factor; None for one that is not judged."""
    begins = [start for start in SLACK if name.startswith(start)]
    return SLACK[max(begins, key=len)] if begins and name not in NOT_JUDGED else None


def figures_are_bounded(samples: Sequence[Sample]) -> Iterator[Finding]:
    """No figure is higher in the last third of the run than in the second."""
    for name in dict.fromkeys(name for sample in samples for name in sample.figures):
        allowed = slack(name)
        if allowed is None:
            continue
        _, second, last = thirds([sample.at_s for sample in samples], [sample.figures.get(name, 0.0) for sample in samples])
        most = max(second) * FACTOR + allowed
        otherwise = "" if max(last) <= most else f"{name} rose to {number(max(last))} in the last third, from {number(max(second))} in the second"
        yield Finding(name, "bounded", {"second": max(second), "last": max(last)}, otherwise)


def load_is_steady(windows: Sequence[Mapping[str, Any]], samples: Sequence[Sample]) -> Iterator[Finding]:
    """As many jobs end in the last third as in the first, and answers take no longer."""
    at = [sample.at_s for sample in samples]
    first, _, last = thirds(at, [float(n) for n in range(len(at))])

    def rate(third: list[float]) -> float:
        begin, end = samples[int(third[0])], samples[int(third[-1])]
        return (end.figures.get("outcomes rows", 0) - begin.figures.get("outcomes rows", 0)) / max(1e-9, end.at_s - begin.at_s)

    before, after = rate(first), rate(last)
    otherwise = "" if after >= before * LEAST_RATE else f"{after:.0f} jobs a second ended in the last third, {before:.0f} in the first"
    yield Finding("jobs ended a second", "not slower", {"first": before, "last": after}, otherwise)
    for name in ("submit", "batch", "read"):
        for which in ("p50", "p99"):
            known = [window for window in windows if name in window["ms"]]
            early, _, late = thirds([window["at_s"] for window in known], [window["ms"][name][which] for window in known])
            begin, end = median(early), median(late)
            otherwise = "" if end <= begin * MOST_P99 + P99_SLACK_MS else f"{which} of {name} went from {begin:.1f} to {end:.1f} ms"
            yield Finding(f"{name} {which} ms", "not slower", {"first": begin, "last": end}, otherwise)


def exact(name: str, wanted: float, found: float, otherwise: str) -> Finding:
    """Return the finding that a count is what it must be."""
    return Finding(name, "exact", {"wanted": wanted, "found": found}, "" if wanted == found else otherwise)


def growth(samples: Sequence[Sample], windows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what a run that was long enough says about growth; nothing where it was not."""
    if not samples or samples[-1].at_s - samples[0].at_s < JUDGED_S:
        return []
    return [*memory_is_flat(samples), *figures_are_bounded(samples), *load_is_steady(windows, samples)]


def number(value: float) -> str:
    """Return it as it is read: no more than four digits that say something, and a count whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def table(findings: Sequence[Finding]) -> str:
    """Return them as a table, a rule at a time."""
    rows = []
    for rule in dict.fromkeys(one.rule for one in findings):
        of = [one for one in findings if one.rule == rule]
        columns = list(dict.fromkeys(name for one in of for name in one.measured))
        rows += ["", f"| {rule} | {' | '.join(columns)} | |", "|---|" + "---|" * (len(columns) + 1)]
        for one in of:
            rows.append(f"| {one.name} | {' | '.join(f'{number(one.measured[name])}' for name in columns)} | {'NO' if one.otherwise else 'ok'} |")
    return "\n".join(rows)
