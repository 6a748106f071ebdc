"""The entry to all benchmarks, `make bench`. `--only laps --turns 20` runs one kind, with its options."""

import sys
from collections.abc import Callable, Mapping, Sequence

from common.command_line import command_line
from tests.benchmarks import fairness, followers, growth, laps, limits, pressure, throughput

#: Modules by the value of --only. `--only growth --help` describes one and lists its options.
KINDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "throughput": throughput.main,
    "laps": laps.main,
    "growth": growth.main,
    "pressure": pressure.main,
    "limits": limits.main,
    "fairness": fairness.main,
    "followers": followers.main,
}


def main() -> int:
    """Run one kind of benchmark and return its exit code."""
    parser = command_line("tests.benchmarks.run", __doc__, add_help=False)
    parser.add_argument(
        "--only", choices=KINDS, default="throughput", help="the kind of figures (default: %(default)s)"
    )
    options, rest = parser.parse_known_args()
    if {"-h", "--help"} & set(rest):
        print(f"{parser.format_help()}\nThe options of --only {options.only}:\n")
    return KINDS[options.only](rest)


if __name__ == "__main__":
    sys.exit(main())
