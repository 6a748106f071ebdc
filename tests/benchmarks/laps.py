"""`make laps`: one job at a time, from its submission until its result is read, with systems that run side by side and take turns.

A machine that is shared is twice as slow for seconds at a time: turns of a quarter of a second meet that alike, whole rounds do not. Each
system has its own servers. `waiting` is jobproc asked by clients that let their submission wait for the result; all others look each millisecond.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import measure, run, systems
from tools.servers import Postgres, Redis, free_port

WARM_LAPS = 100
WAITING = "waiting"


@dataclass
class Runner:
    """A system that runs, and what its laps took, in milliseconds, turn by turn."""

    name: str
    port: int
    turns: list[list[float]] = field(default_factory=list)

    def run(self, laps: int) -> list[float]:
        """Take a turn."""
        return measure.one_at_a_time(self.port, laps, waits=self.name == WAITING)

    def told(self) -> dict[str, float]:
        """Return the median and the 99th percentile of all laps, and the medians of the quickest and the slowest turn."""
        laps = sorted(took for turn in self.turns for took in turn)
        p50, p99 = measure.p50_and_p99(laps)
        of_turns = [statistics.median(turn) for turn in self.turns]
        return {"p50_ms": p50, "p99_ms": p99, "quickest_ms": min(of_turns), "slowest_ms": max(of_turns)}


@contextmanager
def running(name: str, folder: Path, beside: Path | None) -> Iterator[Runner]:
    """Start a system with servers of its own."""
    folder.mkdir(mode=0o755)
    postgres, redis = Postgres(folder / "postgres", folder / "postgres.log", options=run.POSTGRES), Redis(folder / "redis", folder / "redis.log")
    with ExitStack() as ends:
        for server in (postgres, redis):
            server.start()
            ends.callback(server.stop)
        env, port = ends.enter_context(run.fresh(postgres, redis, folder)), free_port()
        system = systems.made("jobproc" if name == WAITING else name, port, folder, env, beside)
        system.run(system.prepare)
        ends.callback(system.end)
        system.start("api", "worker", "others")
        measure.wait_until("the first job", lambda: run.answers(port))
        yield Runner(name, port)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default="seed,jobproc,waiting")
    parser.add_argument("--beside", type=Path, help="as `make bench` takes it")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--laps", type=int, default=50, help="of each turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jobproc-laps-") as top, ExitStack() as ends:
        Path(top).chmod(0o755)  # PostgreSQL is another user where this one is root
        runners = [ends.enter_context(running(name, Path(top) / str(number), options.beside)) for number, name in enumerate(options.systems.split(","))]
        for runner in runners:
            runner.run(WARM_LAPS)
        for turn in range(options.turns):
            for runner in runners if turn % 2 else runners[::-1]:
                runner.turns.append(runner.run(options.laps))
        for runner in runners:
            print(f"{runner.name}: " + json.dumps({name: round(value, 2) for name, value in runner.told().items()}), flush=True)


if __name__ == "__main__":
    main()
