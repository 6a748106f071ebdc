"""`top`: queues and workers, live."""

import shutil
import sys
import time
from collections.abc import Iterator
from itertools import islice

import click

from jobproc.cli.commands.resources.reads import STATS
from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.cli.output.columns import columns, plain
from jobproc.cli.output.writing import table
from jobproc.errors import JobprocError

WORKERS = columns("worker", "host", "pid", "operation", "job_id", "attempt", "claimed_at", claimed_at="SINCE")
# The sequences of ECMA-48 that every terminal has: the second screen and no cursor, and back; to the corner, the rest
# of a line, the rest of the screen. So no library draws: rich takes 59 ms to import, textual 230.
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, CLEAR_LINE, CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"


def screen(invocation: Invocation) -> Iterator[str]:
    """Yield the lines of the screen, as the API has them now."""
    client = invocation.client
    stats, workers = client.stats().queues, client.workers()
    alive = [worker for worker in workers if worker.alive]
    running = [{**worker, **job} for worker in alive for job in worker.jobs]
    busy = sum(bool(worker.busy_since) for worker in alive)
    queued = sum(queue.queued for queue in stats)
    yield f"{plain(client.url)}  {queued:,} jobs wait  {busy} of {len(alive)} worker processes are busy  Ctrl-C ends"
    yield ""
    yield from table(invocation, sorted(stats, key=lambda queue: -queue["queued"]), STATS)
    yield ""
    yield from table(invocation, running, WORKERS)


def drawn(lines: Iterator[str]) -> str:
    """Return lines as what draws them over those before: as many as the terminal has."""
    rows = max(1, shutil.get_terminal_size().lines - 1)
    return HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in islice(lines, rows)) + CLEAR_REST


@command("top")
@click.option(
    "--interval", type=click.FloatRange(min=0.2), default=2.0, show_default=True, metavar="SECONDS", help="Between two."
)
@click.option("--times", type=int, help="End after so many screens.")
@pass_invocation
def top(invocation: Invocation, interval: float, times: int | None) -> None:
    """Show queues, workers and their jobs, live, until Ctrl-C."""
    if not invocation.is_terminal:
        usage("top needs a terminal; `jobproc stats` and `jobproc workers list` are for pipes")
    left = times
    sys.stdout.write(ENTER)
    try:
        while left is None or left > 0:
            try:
                text = drawn(screen(invocation))
            except JobprocError as error:
                text = drawn(iter([plain(str(error))]))
            sys.stdout.write(text)
            sys.stdout.flush()
            left = None if left is None else left - 1
            if left != 0:
                time.sleep(interval)
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
