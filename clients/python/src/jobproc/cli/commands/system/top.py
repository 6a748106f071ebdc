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
from jobproc.client.calls.reads import LiveEvent
from jobproc.errors import JobprocError

WORKERS = columns("worker", "host", "pid", "operation", "job_id", "attempt", "claimed_at", claimed_at="SINCE")
# The sequences of ECMA-48 that every terminal has: the second screen and no cursor, and back; to the corner, the rest
# of a line, the rest of the screen. So no library draws: rich takes 59 ms to import, textual 230.
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
PARTS = frozenset({"stats", "workers"})  # events that a screen shows
RETRY_S = 1.0  # pause after a failure
HOME, CLEAR_LINE, CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"


def screens(invocation: Invocation) -> Iterator[Iterator[str]]:
    """Yield the lines of a screen each time that the API tells of a change, without an end."""
    parts: dict[str, LiveEvent] = {}
    for event in invocation.client.live():
        parts[event.name] = event
        if event.name in PARTS and parts.keys() >= PARTS:
            yield screen(invocation, parts["stats"], parts["workers"])


def screen(invocation: Invocation, stats: LiveEvent, workers: LiveEvent) -> Iterator[str]:
    """Yield the lines of a screen."""
    queued = sum(queue.queued for queue in stats.queues)
    head = f"{queued:,} jobs wait  {workers.busy} of {workers.alive} worker processes are busy  Ctrl-C ends"
    yield f"{plain(invocation.client.url)}  {head}"
    yield ""
    yield from table(invocation, sorted(stats.queues, key=lambda queue: -queue["queued"]), STATS)
    yield ""
    yield from table(invocation, workers.jobs, WORKERS)


def drawn(lines: Iterator[str]) -> str:
    """Return lines as what draws them over those before: as many as the terminal has."""
    rows = max(1, shutil.get_terminal_size().lines - 1)
    return HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in islice(lines, rows)) + CLEAR_REST


@command("top")
@click.option("--times", type=int, help="End after so many screens.")
@pass_invocation
def top(invocation: Invocation, times: int | None) -> None:
    """Show queues, workers and their jobs until Ctrl-C. A screen is drawn when something has changed."""
    if not invocation.is_terminal:
        usage("top needs a terminal; `jobproc stats` and `jobproc workers list` are for pipes")
    sys.stdout.write(ENTER)
    try:
        for text in islice(_texts(invocation), times):
            sys.stdout.write(text)
            sys.stdout.flush()
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()


def _texts(invocation: Invocation) -> Iterator[str]:
    """Yield what draws a screen, or the reason why there is none, and go on after it."""
    while True:
        try:
            for lines in screens(invocation):
                yield drawn(lines)
        except JobprocError as error:
            yield drawn(iter([plain(str(error))]))
            time.sleep(RETRY_S)
