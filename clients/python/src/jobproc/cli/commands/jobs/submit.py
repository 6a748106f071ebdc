"""`submit`: submits a job, or one for each line of stdin."""

import json
from collections.abc import Iterator
from typing import Any

import click

from jobproc.cli.commands.jobs.filters import Instant
from jobproc.cli.commands.jobs.inputs import STDIN, lines_of_stdin, value_of
from jobproc.cli.commands.jobs.reads import print_result
from jobproc.cli.commands.jobs.watch import follow as follow_job
from jobproc.cli.exit_codes import OF_STATES
from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.client.calls import jobs

BATCH_JOBS = 1_000
BATCH_BYTES = 500_000  # half of the smallest body that the API refuses by default
FOREVER = -1.0  # `--wait` without seconds


class Seconds(click.ParamType[float]):
    """Seconds behind `--wait`, which may be left out."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        try:
            return float(value)
        except ValueError:
            self.fail(f"seconds are expected, not {value!r}: write --wait last, or as --wait=30", param, ctx)


@command("submit")
@click.argument("operation")
@click.argument("data", required=False)
@click.option(
    "--wait", type=Seconds(), is_flag=False, flag_value=FOREVER, metavar="[SECONDS]", help="Wait, and print the result."
)
@click.option("--follow", is_flag=True, help="Print each new state and progress, then the result.")
@click.option("--dry-run", is_flag=True, help="Validate the job, submit nothing, and print what would be stored.")
@click.option("-p", "--priority", type=click.IntRange(0, 9), help="0, first, to 9.")
@click.option("--queue", help="One of the queues that the operation allows.")
@click.option("--delay", "delay_seconds", type=float, metavar="SECONDS", help="Start so much later.")
@click.option("--at", "run_at", type=Instant(is_past=False), help="Start at a time, or in 2h.")
@click.option("--deadline", type=Instant(is_past=False), help="Do not start after a time, or after 2h.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be repeated.")
@click.option("--timeout", "timeout_seconds", type=float, metavar="SECONDS", help="Time limit of an attempt.")
@click.option("--max-attempts", type=int, help="The most attempts.")
@click.option("--concurrency-key", help="The limits of the queue count the jobs of one key.")
@click.option("--unique", metavar="KEY", help="Refuse the job while another one with the key is unfinished.")
@click.option("--metadata", metavar="JSON", help="An object that is kept with the job.")
@click.option("--idempotency-key", help="A repeat with this key submits nothing, and returns the first job.")
@pass_invocation
def submit(  # noqa: PLR0913 - an option each
    invocation: Invocation,
    operation: str,
    data: str | None,
    wait: float | None,
    unique: str | None,
    metadata: str | None,
    *,
    follow: bool,
    dry_run: bool,
    **options: Any,
) -> int | None:
    """Submit a job.

    DATA is the input: JSON, @file, or - for one job a line of stdin, in batches of 1,000 that are stored whole or not
    at all. The exit code of --wait and --follow is the fate of the job: 0 SUCCESS, 3 FAILED, 4 CANCELLED; 9 if the
    seconds are up.
    """
    given = given_options(options, unique, metadata)
    if data == STDIN:
        if follow or wait is not None or dry_run or "idempotency_key" in given:
            usage("--wait, --follow, --dry-run and --idempotency-key are for one job, not for lines of stdin")
        return submit_lines(invocation, operation, given)
    job_input = jobs.OMITTED if data is None else value_of(data, "DATA")
    if dry_run:
        invocation.write(invocation.client.send(jobs.validate(operation, job_input, given)), "operation")
        return None
    accepted = invocation.client.send(jobs.submit(operation, job_input, given))
    id_: str = accepted.job_id
    if not follow and wait is None:
        invocation.write({"job_id": id_, "status": accepted.status}, "job_id")
        return None
    invocation.say(f"job {id_}")
    if follow:
        invocation.goes_on = f"job {id_}"
        if code := follow_job(invocation, id_):
            return code
    return print_result(invocation, id_, None if wait in (None, FOREVER) else wait)


def given_options(options: dict[str, Any], unique: str | None, metadata: str | None) -> dict[str, Any]:
    """Return the options of a submission that are given."""
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if unique is not None:
        given["unique"] = {"key": unique}
    if metadata is not None:
        given["metadata"] = value_of(metadata, "--metadata")
    return given


def submit_lines(invocation: Invocation, operation: str, options: dict[str, Any]) -> int:
    """Submit a job for each line of stdin, and write their ids."""
    client = invocation.client
    count = 0
    for inputs in chunks(lines_of_stdin()):
        batch = [{"operation": operation, "input": job_input, **options} for job_input in inputs]
        accepted = client.batches.submit(batch)
        count += len(batch)
        invocation.goes_on = f"each of the {count:,} jobs that are submitted"
        for id_ in accepted.job_ids:
            if invocation.format == "table":
                click.echo(id_)
            else:
                invocation.stream({"job_id": id_}, "job_id")
    invocation.say(f"{count:,} jobs are submitted")
    return OF_STATES["SUCCESS"]


def chunks(items: Iterator[Any]) -> Iterator[list[Any]]:
    """Yield items in lists of at most 1,000 and about half a megabyte."""
    chunk: list[Any] = []
    size = 0
    for item in items:
        length = len(json.dumps(item))
        if chunk and (len(chunk) >= BATCH_JOBS or size + length > BATCH_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += length
    if chunk:
        yield chunk
