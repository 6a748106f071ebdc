"""One job at a time, from its submission until its result is read: `make bench BENCH="--only laps"`.

The systems run side by side, each with its own servers, and take turns of a quarter of a second: a shared machine is
twice as slow for seconds at a time, which such turns share evenly and whole rounds do not. `waiting` is jobproc with
clients whose submission waits for the result; the other clients poll each millisecond.
"""

import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.command_line import command_line
from tests.benchmarks import measure, systems, throughput
from tools.servers import Postgres, Redis, free_port

WARM_LAPS = 100
WAITING = "waiting"


@dataclass
class Runner:
    """A running system, and the milliseconds of its laps, by turn."""

    name: str
    port: int
    turns: list[list[float]] = field(default_factory=list)

    def run(self, laps: int) -> list[float]:
        """Run one turn."""
        return measure.one_at_a_time(self.port, laps, waits=self.name == WAITING)

    def figures(self) -> dict[str, float]:
        """Return the median and the p99 of all laps, and the medians of the fastest and the slowest turn."""
        laps = sorted(took for turn in self.turns for took in turn)
        p50, p99 = measure.p50_and_p99(laps)
        of_turns = [statistics.median(turn) for turn in self.turns]
        return {"p50_ms": p50, "p99_ms": p99, "quickest_ms": min(of_turns), "slowest_ms": max(of_turns)}


@contextmanager
def running(name: str, folder: Path, beside: Path | None) -> Iterator[Runner]:
    """Start a system with its own servers."""
    folder.mkdir(mode=0o755)
    postgres, redis = (
        Postgres(folder / "postgres", folder / "postgres.log", options=throughput.POSTGRES),
        Redis(folder / "redis", folder / "redis.log"),
    )
    with ExitStack() as ends:
        for server in (postgres, redis):
            server.start()
            ends.callback(server.stop)
        env, port = ends.enter_context(throughput.fresh(postgres, redis, folder)), free_port()
        system = systems.made("jobproc" if name == WAITING else name, port, folder, env, beside)
        system.run(system.prepare)
        ends.callback(system.end)
        system.start("api", "worker", "others")
        measure.wait_until("the first job", lambda: throughput.answers(port))
        yield Runner(name, port)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and return the exit code. `arguments`: None reads the command line."""
    parser = command_line("tests.benchmarks.run --only laps", __doc__)
    parser.add_argument("--systems", default="seed,jobproc,waiting")
    parser.add_argument("--beside", type=Path, help="as `make bench` takes it")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--laps", type=int, default=50, help="of each turn")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="jobproc-laps-") as top, ExitStack() as ends:
        Path(top).chmod(0o755)  # where this user is root, PostgreSQL runs as another one
        runners = [
            ends.enter_context(running(name, Path(top) / str(number), options.beside))
            for number, name in enumerate(options.systems.split(","))
        ]
        for runner in runners:
            runner.run(WARM_LAPS)
        for turn in range(options.turns):
            for runner in runners if turn % 2 else runners[::-1]:
                runner.turns.append(runner.run(options.laps))
        for runner in runners:
            print(
                f"{runner.name}: " + json.dumps({name: round(value, 2) for name, value in runner.figures().items()}),
                flush=True,
            )
    return 0
